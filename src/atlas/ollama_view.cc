#include "atlas/ollama_view.h"

#include <algorithm>

#include "base/text.h"
#include "json/json.h"
#include "oci/media_types.h"

namespace berth::atlas {
namespace {

constexpr std::string_view kConfigType = "application/vnd.docker.container.image.v1+json";

std::string_view layer_type(model::Role role) {
  switch (role) {
    case model::Role::kWeights:
      return "application/vnd.ollama.image.model";
    case model::Role::kLora:
      return "application/vnd.ollama.image.adapter";
    case model::Role::kMmproj:
      return "application/vnd.ollama.image.projector";
    case model::Role::kLicense:
      return "application/vnd.ollama.image.license";
    default:
      return "";  // its template is in the weights; of the rest it knows nothing
  }
}

json::Object descriptor(std::string_view type, const oci::Digest& digest, std::uint64_t size) {
  return {{"mediaType", type}, {"digest", digest.string()}, {"size", size}};
}

bool is_one_gguf(const model::Model& model, const depot::ModelFacts& facts) {
  const auto weights = std::ranges::count(model.files, model::Role::kWeights, &model::File::role);
  const bool raw = std::ranges::all_of(
      model.files, [](const model::File& file) { return file.packing == model::Packing::kRaw; });
  return facts.format == "gguf" && weights == 1 && raw;
}

json::Object config_of(const depot::ModelFacts& facts, const json::Array& layers) {
  json::Array diff_ids;
  for (const json::Value& layer : layers) diff_ids.push_back(layer.at("digest"));
  return {{"model_format", "gguf"},
          {"model_family", facts.architecture},
          {"model_families", json::Array{json::Value(facts.architecture)}},
          {"model_type", format_count(static_cast<double>(facts.parameters))},
          {"file_type", facts.quantization},
          {"architecture", "amd64"},
          {"os", "linux"},
          {"rootfs", json::Object{{"type", "layers"}, {"diff_ids", std::move(diff_ids)}}}};
}

}  // namespace

std::optional<OllamaView> ollama_view(const model::Model& model, const depot::ModelFacts& facts) {
  if (!is_one_gguf(model, facts)) return std::nullopt;
  json::Array layers;
  for (const model::File& file : model.files) {
    const std::string_view type = layer_type(file.role);
    if (!type.empty())
      layers.push_back(descriptor(type, file.descriptor.digest, file.descriptor.size));
  }
  OllamaView view{.config = json::serialize(config_of(facts, layers))};
  view.config_digest = oci::Digest::of(as_bytes(view.config));
  view.manifest.media_type = oci::media::kDockerManifest;
  view.manifest.bytes = json::serialize(
      json::Object{{"schemaVersion", 2},
                   {"mediaType", oci::media::kDockerManifest},
                   {"config", descriptor(kConfigType, view.config_digest, view.config.size())},
                   {"layers", std::move(layers)}});
  view.manifest.digest = oci::Digest::of(as_bytes(view.manifest.bytes));
  return view;
}

}  // namespace berth::atlas
