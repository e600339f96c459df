// A hostile manifest and config: the input is split at its first zero byte; the config's descriptor
// is made to fit.
#include "model/codec.h"
#include "model/media.h"
#include "oci/media_types.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = text.find('\0');
  const std::string_view layers = text.substr(0, zero);
  const std::string_view config = zero == std::string_view::npos ? "{}" : text.substr(zero + 1);
  for (const std::string_view type :
       {model::media::kDockerConfigV01, model::media::kModelPackConfig}) {
    const std::string manifest = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}})",
        oci::media::kManifest, json::serialize(oci::to_json(oci::describe(config, type))), layers);
    static_cast<void>(model::read_model(manifest, oci::media::kManifest, config));
  }
  return 0;
}
