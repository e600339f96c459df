// Any bytes as an image manifest and as an index, whatever type the registry claims for them. What
// Berth writes of a value that it read, it reads again, and to the same bytes.
#include "base/assert.h"
#include "oci/manifest.h"
#include "oci/media_types.h"

namespace {

template <class Parse>
void check(Parse parse, std::string_view text, std::string_view type) {
  const auto value = parse(text, type);
  if (!value) return;
  const std::string written = berth::oci::serialize(*value);
  const auto again = parse(written, value->media_type);
  BERTH_ASSERT(again.has_value());
  BERTH_ASSERT(berth::oci::serialize(*again) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::oci;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(parse_manifest, text, media::kManifest);
  check(parse_index, text, media::kIndex);
  static_cast<void>(children(text, media::kManifest));
  static_cast<void>(children(text, media::kIndex));
  return 0;
}
