// Any bytes as a manifest that is pushed.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "json/json.h"
#include "registryd/reading.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reading = berth::registryd::read_manifest(text, "");
  if (!reading) return 0;
  const std::string descriptor = berth::registryd::referrer_descriptor(
      *reading, berth::oci::Digest::of(berth::as_bytes(text)), size);
  BERTH_ASSERT(berth::json::parse(descriptor, "descriptor").has_value());
  return 0;
}
