#include "remote/manifest_type.h"

#include "base/text.h"
#include "json/json.h"
#include "oci/manifest.h"
#include "oci/media_types.h"

namespace berth::remote {
namespace {

namespace media = oci::media;

bool is_known(std::string_view type) { return media::is_manifest(type) || media::is_index(type); }

// Bodies may leave mediaType out (OCI 1.0), so their shape tells.
std::string type_by_shape(const json::Object& body) {
  if (body.contains("manifests")) return std::string(media::kIndex);
  if (body.contains("config") && body.contains("layers")) return std::string(media::kManifest);
  return "";
}

}  // namespace

const std::string_view kManifestTypes =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json";

Result<std::string> manifest_type(std::string_view header, std::string_view body,
                                  std::string_view what) {
  TRY(const json::Value value, json::parse(body, what, {.bytes = oci::kMaxManifestBytes}));
  if (!value.is_object())
    return fail(Code::kCorrupt, "{} is no manifest: it is not a JSON object", what);
  TRY(std::string own, json::View(value, std::string(what)).string_or("mediaType", ""));
  if (is_known(header)) {
    if (own.empty() || own == header) return std::string(header);
    return fail(Code::kCorrupt, "{} says that it is {} and was sent as {}", what,
                printable(own, 100), header);
  }
  if (own.empty()) own = type_by_shape(value.as_object());
  if (is_known(own)) return own;
  return fail(Code::kUnsupported,
              "{} is no OCI or Docker manifest but {}; push it again with a current tool", what,
              printable(own.empty() ? std::string(header) : own, 100));
}

}  // namespace berth::remote
