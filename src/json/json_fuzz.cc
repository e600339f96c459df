// Any bytes are a document or an error; what was read is written so that it reads the same again.
#include "base/assert.h"
#include "json/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = json::parse(text, "input");
  if (!value) return 0;
  const auto again = json::parse(json::serialize(*value), "output");
  BERTH_ASSERT(again.has_value());
  BERTH_ASSERT(json::parse(json::pretty(*again), "pretty output").has_value());
  return 0;
}
