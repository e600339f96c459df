// Media types that Berth knows by name. Sources: OCI image-spec 1.1; Docker schema 2; facts of
// docker.ai and ModelPack.
#pragma once

#include <string_view>

namespace berth::oci::media {

inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndex =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kEmpty = "application/vnd.oci.empty.v1+json";

constexpr bool is_manifest(std::string_view type) {
  return type == kManifest || type == kDockerManifest;
}
constexpr bool is_index(std::string_view type) { return type == kIndex || type == kDockerIndex; }

}  // namespace berth::oci::media

namespace berth::oci::annotation {

inline constexpr std::string_view kTitle = "org.opencontainers.image.title";
inline constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

}  // namespace berth::oci::annotation
