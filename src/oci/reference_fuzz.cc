// Any text as a reference, a model's name and a digest. A reference's full form stands for itself.
#include "base/assert.h"
#include "oci/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::oci;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(parse_model_name(text));
  if (const auto digest = Digest::parse(text)) BERTH_ASSERT(digest->string() == text);
  const auto reference = parse_reference(text);
  if (!reference) return 0;
  BERTH_ASSERT(is_repository(reference->repository));
  BERTH_ASSERT(reference->tag.empty() || is_tag(reference->tag));
  const auto again = parse_reference(reference->string());
  BERTH_ASSERT(again.has_value());
  BERTH_ASSERT(again->string() == reference->string());
  return 0;
}
