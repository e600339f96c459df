// Descriptors, image manifests and indexes as values. Bytes whose digest matters are kept verbatim
// by whoever holds them: parsing is a reading of them, never a replacement.
//
// Pure, thread-safe. Failure: kInvalid (grammar, wrong mediaType), kTooLarge (over a bound).
// Source: OCI image-spec 1.1.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"
#include "oci/digest.h"

namespace berth::oci {

using Annotations = std::map<std::string, std::string>;

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
  friend bool operator==(const Platform&, const Platform&) = default;
};

struct Descriptor {
  std::string media_type;
  Digest digest = Digest::of({});
  std::uint64_t size = 0;
  Annotations annotations = {};
  std::string artifact_type = {};
  std::optional<Platform> platform = {};

  std::string annotation(std::string_view key) const;  // "" when absent
};

// What is read of a manifest unless a setting allows more; distribution-spec: what a registry must
// at least accept.
inline constexpr std::size_t kManifestBytes = 4 * 1024 * 1024;
// Whatever a setting says.
inline constexpr std::size_t kMaxManifestBytes = 64 * 1024 * 1024;
inline constexpr std::size_t kMaxLayers = 10'000;

struct Manifest {
  std::string media_type;
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

struct Index {
  std::string media_type;
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

// `media_type` is what the registry or descriptor claimed; a body that names another is refused.
Result<Manifest> parse_manifest(std::string_view bytes, std::string_view media_type);
Result<Index> parse_index(std::string_view bytes, std::string_view media_type);
Result<Descriptor> parse_descriptor(const json::View& view);
// "linux/arm64" or "linux/arm/v7".
Result<Platform> parse_platform(std::string_view text);
// The manifest of an index for exactly this platform (any variant when none is said). kNotFound
// names what there is.
Result<Descriptor> pick_platform(const Index& index, const Platform& wanted);

// Canonical bytes for what Berth makes itself: fixed key order, annotations sorted, no spaces.
std::string serialize(const Manifest& manifest);
std::string serialize(const Index& index);
json::Value to_json(const Descriptor& descriptor);

// What a manifest or index refers to: config, layers; or manifests. Subject is not included. For
// other types: none.
Result<std::vector<Descriptor>> children(std::string_view bytes, std::string_view media_type);

// The descriptor of bytes in hand.
Descriptor describe(std::string_view bytes, std::string_view media_type);

}  // namespace berth::oci
