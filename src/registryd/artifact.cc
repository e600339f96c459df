#include "registryd/artifact.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/text.h"
#include "json/json.h"
#include "model/codec.h"
#include "model/media.h"
#include "oci/media_types.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kImageConfig = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kDockerImageConfig = "application/vnd.docker.container.image.v1+json";
constexpr std::size_t kDate = std::string_view("2026-07-01").size();
constexpr std::string_view kLicenses = "org.opencontainers.image.licenses";

bool is_image(std::string_view config_type) {
  return config_type == kImageConfig || config_type == kDockerImageConfig;
}

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

// Of all that the manifest names.
std::uint64_t size_of(const Artifact& artifact) {
  std::uint64_t size = artifact.config ? artifact.config->size : 0;
  for (const Part& part : artifact.parts)
    if (__builtin_add_overflow(size, part.descriptor.size, &size)) return UINT64_MAX;
  return size;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// How much a layer looks like the card; 0 for not at all.
int card_rank(const Part& part) {
  const oci::Descriptor& layer = part.descriptor;
  const std::string name = to_lower(base_name(part.name));
  const bool raw = !layer.media_type.contains("tar") && !layer.media_type.contains("zip");
  if (!raw || layer.size == 0 || layer.size > kMostCard) return 0;
  if (name == "readme.md") return part.name.contains('/') ? 3 : 4;
  if (name == "readme" || name == "readme.txt") return 2;
  const bool doc = layer.media_type == model::media::kModelPackDoc;
  return doc && (name.empty() || name.ends_with(".md")) ? 1 : 0;
}

std::optional<oci::Descriptor> find_card(const std::vector<Part>& parts) {
  const auto best = std::ranges::max_element(parts, {}, card_rank);
  if (best == parts.end() || card_rank(*best) == 0) return std::nullopt;
  return best->descriptor;
}

// What the layer's annotations say; a model tells more (add_model).
Part part_of(const oci::Descriptor& layer) {
  Part part{.descriptor = layer};
  for (const std::string_view key :
       {model::annotation::kFilePath, model::annotation::kCnaiFilePath, oci::annotation::kTitle})
    if (part.name.empty()) part.name = layer.annotation(key);
  return part;
}

Part part_of_index(const oci::Descriptor& entry) {
  std::string platform;
  if (entry.platform) {
    platform = entry.platform->os + "/" + entry.platform->architecture;
    if (!entry.platform->variant.empty()) platform += "/" + entry.platform->variant;
  }
  return {.name = std::move(platform), .role = entry.artifact_type, .descriptor = entry};
}

std::optional<oci::Digest> subject_of(const std::optional<oci::Descriptor>& subject) {
  return subject ? std::optional(subject->digest) : std::nullopt;
}

Status read_index(const depot::StoredManifest& manifest, Artifact& artifact) {
  TRY(const oci::Index index, oci::parse_index(manifest.bytes, manifest.media_type));
  artifact.kind = Artifact::Kind::kIndex;
  artifact.what = "Index of manifests";
  artifact.annotations = index.annotations;
  artifact.subject = subject_of(index.subject);
  for (const oci::Descriptor& entry : index.manifests)
    artifact.parts.push_back(part_of_index(entry));
  return {};
}

Status read_single(const depot::StoredManifest& manifest, Artifact& artifact) {
  TRY(const oci::Manifest parsed, oci::parse_manifest(manifest.bytes, manifest.media_type));
  const bool model = model::is_model(parsed);
  artifact.kind = model                                ? Artifact::Kind::kModel
                  : is_image(parsed.config.media_type) ? Artifact::Kind::kImage
                                                       : Artifact::Kind::kOther;
  artifact.what = model ? "Model" : capitalized(model::what_it_is(parsed));
  artifact.config = parsed.config;
  artifact.annotations = parsed.annotations;
  artifact.subject = subject_of(parsed.subject);
  for (const oci::Descriptor& layer : parsed.layers) artifact.parts.push_back(part_of(layer));
  artifact.card = find_card(artifact.parts);
  return {};
}

void add(Artifact& artifact, std::string_view name, std::string value) {
  if (!value.empty()) artifact.facts.push_back({.name = name, .value = std::move(value)});
}

// The licences that the config or an annotation names; "" when nothing says.
std::string licence_of(const Artifact& artifact, const json::View& config) {
  std::string names;
  if (const auto descriptor = config.find("descriptor")) {
    for (const std::string& name :
         descriptor->strings_or_empty("licenses").value_or(std::vector<std::string>()))
      names += (names.empty() ? "" : ", ") + name;
  }
  const auto facts = config.find("config");
  const auto gguf = facts ? facts->find("gguf") : std::nullopt;
  if (names.empty() && gguf) names = gguf->string_or("general.license", "").value_or("");
  const auto annotated = artifact.annotations.find(std::string(kLicenses));
  if (names.empty() && annotated != artifact.annotations.end()) names = annotated->second;
  return names;
}

// Roles, and names for what has none. A file that the model has twice is one there.
void name_files(std::vector<Part>& parts, const std::vector<model::File>& files) {
  std::map<std::pair<oci::Digest, std::string>, const model::File*> known;
  for (const model::File& file : files) {
    known.emplace(std::pair(file.descriptor.digest, file.path), &file);
    known.emplace(std::pair(file.descriptor.digest, ""), &file);
  }
  for (Part& part : parts) {
    const auto found = known.find({part.descriptor.digest, part.name});
    if (found == known.end()) continue;
    part.name = found->second->path;
    if (found->second->role != model::Role::kOther)
      part.role = model::to_string(found->second->role);
  }
}

Status add_model(Artifact& artifact, const depot::StoredManifest& manifest,
                 std::string_view config) {
  TRY(const model::Model read, model::read_model(manifest.bytes, manifest.media_type, config));
  TRY(const json::Value value, json::parse(config, "the config", {.bytes = kMostConfig}));
  artifact.what = fmt::format("Model ({})", model::display_name(read.kind));
  add(artifact, "Architecture", read.architecture);
  add(artifact, "Parameters", read.parameters);
  add(artifact, "Quantization", read.quantization);
  add(artifact, "Format", read.format);
  add(artifact, "Licence", licence_of(artifact, json::View(value, "config")));
  if (read.context_length) add(artifact, "Context", fmt::format("{} tokens", *read.context_length));
  if (read.context_size)
    add(artifact, "Context asked for", fmt::format("{} tokens", *read.context_size));
  if (read.created && read.created->time_since_epoch().count() > 0)
    add(artifact, "Created", format_rfc3339(*read.created).substr(0, kDate));
  name_files(artifact.parts, read.files);
  return {};
}

Status add_image(Artifact& artifact, std::string_view config) {
  TRY(const json::Value value, json::parse(config, "the config", {.bytes = kMostConfig}));
  const json::View view(value, "config");
  TRY(std::string system, view.string_or("os", ""));
  TRY(std::string architecture, view.string_or("architecture", ""));
  TRY(std::string created, view.string_or("created", ""));
  add(artifact, "Operating system", std::move(system));
  add(artifact, "Architecture", std::move(architecture));
  add(artifact, "Created", created.substr(0, kDate));
  return {};
}

struct Type {
  std::string_view prefix;
  std::string_view name;
};
constexpr auto kTypes = std::to_array<Type>({
    {"application/vnd.dev.cosign.", "Signature (cosign)"},
    {"application/vnd.dev.sigstore.bundle", "Signature (Sigstore bundle)"},
    {"application/vnd.cncf.notary.signature", "Signature (Notation)"},
    {"application/spdx", "SBOM (SPDX)"},
    {"text/spdx", "SBOM (SPDX)"},
    {"application/vnd.cyclonedx", "SBOM (CycloneDX)"},
    {"application/vnd.in-toto", "Attestation (in-toto)"},
    {"application/vnd.dsse.envelope", "Attestation (DSSE)"},
    {"application/sarif", "Scan (SARIF)"},
});

}  // namespace

Artifact read_artifact(const depot::StoredManifest& manifest) {
  Artifact artifact;
  const bool index = oci::media::is_index(manifest.media_type);
  const Status read = index ? read_index(manifest, artifact) : read_single(manifest, artifact);
  artifact.size = size_of(artifact);
  if (read) return artifact;
  return {.what = "Manifest of type " + printable(manifest.media_type, 150),
          .note =
              "The registry keeps this manifest as it came, but its page cannot tell what is "
              "in it: " +
              printable(read.error().message())};
}

void add_facts(Artifact& artifact, const depot::StoredManifest& manifest, std::string_view config) {
  Status read;
  if (artifact.kind == Artifact::Kind::kModel) read = add_model(artifact, manifest, config);
  if (artifact.kind == Artifact::Kind::kImage) read = add_image(artifact, config);
  if (!read) artifact.note = "Its config cannot be read: " + printable(read.error().message());
}

std::string name_of_type(std::string_view artifact_type) {
  for (const Type& type : kTypes)
    if (artifact_type.starts_with(type.prefix)) return std::string(type.name);
  return std::string(artifact_type);
}

}  // namespace berth::registryd
