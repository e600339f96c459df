// What a person wants to know of a manifest: what it is, what its config says, its files.
//
// Pure. What cannot be read is a note on what is there, never a failure: a registry keeps manifests
// that it does not understand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "depot/depot.h"
#include "oci/manifest.h"

namespace berth::registryd {

struct Fact {
  std::string_view name;
  std::string value;
};

// A layer, or a manifest of an index.
struct Part {
  std::string name;  // path, platform; "" when nothing tells
  std::string role;  // "weights", …; "" when nothing tells
  oci::Descriptor descriptor;
};

struct Artifact {
  enum class Kind { kUnknown, kIndex, kModel, kImage, kOther };
  Kind kind = Kind::kUnknown;
  std::string what;  // "Model (ModelPack)", …
  std::string note;  // why something is missing; "" when all was read
  std::uint64_t size = 0;
  std::optional<oci::Descriptor> config;
  std::vector<Fact> facts;
  std::vector<Part> parts;
  oci::Annotations annotations;
  std::optional<oci::Digest> subject;
  std::optional<oci::Descriptor> card;  // the layer with its README
};

// Configs longer than this are not asked for.
inline constexpr std::uint64_t kMostConfig = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kMostCard = std::uint64_t{256} << 10;

// Of the manifest alone: no facts yet.
Artifact read_artifact(const depot::StoredManifest& manifest);
// Adds what the config's bytes say.
void add_facts(Artifact& artifact, const depot::StoredManifest& manifest, std::string_view config);
// "SBOM (SPDX)", "Signature (cosign)"; the type itself when it is not known.
std::string name_of_type(std::string_view artifact_type);

}  // namespace berth::registryd
