#include "model/codec.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "model/codecs.h"
#include "model/media.h"

namespace berth::model {
namespace {

struct Codec {
  std::string_view config_type;
  Kind kind;
  Status (*read)(const oci::Manifest& manifest, const json::View& config, Model& model);
};

// A new format is a codec file and a line here.
constexpr auto kCodecs = std::to_array<Codec>({
    {media::kDockerConfigV01, Kind::kDockerV01, read_docker_config},
    {media::kDockerConfigV02, Kind::kDockerV02, read_docker_config},
    {media::kModelPackConfig, Kind::kModelPack, read_modelpack_config},
    {media::kCnaiConfig, Kind::kModelPack, read_modelpack_config},
});

const Codec* find_codec(const oci::Manifest& manifest) {
  const auto found = std::ranges::find(kCodecs, manifest.config.media_type, &Codec::config_type);
  return found == kCodecs.end() ? nullptr : &*found;
}

// What is often met in registries beside models: by config type, artifact type or the type of a
// layer.
constexpr auto kKnown = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"application/vnd.ollama.image.model", "an Ollama model"},
    {"application/vnd.kitops.modelkit.config.v1+json", "a KitOps ModelKit"},
    {"application/vnd.cncf.helm.config.v1+json", "a Helm chart"},
    {"application/vnd.dev.cosign.simplesigning.v1+json", "a cosign signature"},
    {"application/vnd.dev.sigstore.bundle.v0.3+json", "a Sigstore bundle"},
    {"application/vnd.cncf.notary.signature", "a Notation signature"},
    {"application/vnd.dsse.envelope.v1+json", "an attestation"},
    {"application/vnd.in-toto+json", "an attestation"},
    {"application/vnd.wasm.config.v0+json", "a WebAssembly module"},
    {"application/vnd.docker.plugin.v1+json", "a Docker plugin"},
    {"application/vnd.docker.container.image.v1+json", "a container image"},
    {"application/vnd.oci.image.config.v1+json", "a container image"},
});

bool mentions(const oci::Manifest& manifest, std::string_view type) {
  if (manifest.config.media_type == type || manifest.artifact_type == type) return true;
  return std::ranges::any_of(manifest.layers,
                             [&](const auto& layer) { return layer.media_type == type; });
}

Status check_config(const oci::Manifest& manifest, std::string_view bytes) {
  if (bytes.size() > kMaxConfigBytes) {
    return fail(Code::kTooLarge, "the model's config has {} bytes; at most {} are read",
                bytes.size(), kMaxConfigBytes);
  }
  const oci::Digest digest = oci::Digest::of(as_bytes(bytes), manifest.config.digest.algorithm());
  if (bytes.size() == manifest.config.size && digest == manifest.config.digest) return {};
  return fail(Code::kDigestMismatch,
              "the model's config is not what its manifest names: {} instead of {}",
              digest.string(), manifest.config.digest.string());
}

bool is_attestation(const oci::Descriptor& entry) {
  return entry.platform && entry.platform->os == "unknown" &&
         entry.platform->architecture == "unknown";
}

bool looks_like_model(const oci::Descriptor& entry) {
  const std::string_view type = entry.artifact_type;
  return type == media::kModelPackManifest || type.starts_with(media::kDockerPrefix) ||
         std::ranges::any_of(kCodecs,
                             [&](const Codec& codec) { return type == codec.config_type; });
}

std::string list_platforms(const std::vector<oci::Descriptor>& entries) {
  std::string list;
  for (const oci::Descriptor& entry : entries) {
    if (!list.empty()) list += ", ";
    list += entry.platform ? printable(entry.platform->os + "/" + entry.platform->architecture, 40)
                           : "no platform";
    if (list.size() > 300) return list + ", …";
  }
  return list;
}

}  // namespace

Status check_object(const json::View& view) {
  if (view.value().is_object()) return {};
  return fail(Code::kInvalid, "{}: expected an object", view.path());
}

bool is_model(const oci::Manifest& manifest) { return find_codec(manifest) != nullptr; }

std::string what_it_is(const oci::Manifest& manifest) {
  if (is_model(manifest)) return "a model";
  for (const auto& [type, name] : kKnown) {
    if (mentions(manifest, type)) return fmt::format("{} ({})", name, type);
  }
  if (!manifest.artifact_type.empty()) {
    return fmt::format("an artifact of type {}", printable(manifest.artifact_type, 100));
  }
  return fmt::format("an artifact with config type {}", printable(manifest.config.media_type, 100));
}

Status check_is_model(const oci::Manifest& manifest) {
  if (is_model(manifest)) return {};
  return fail(Code::kUnsupported, "this is {}, not a model that Berth can run",
              what_it_is(manifest));
}

Result<Model> read_model(std::string_view manifest_bytes, std::string_view manifest_media_type,
                         std::string_view config_bytes) {
  TRY(const oci::Manifest manifest, oci::parse_manifest(manifest_bytes, manifest_media_type));
  TRY_OK(check_is_model(manifest));
  TRY_OK(check_config(manifest, config_bytes));
  TRY(const json::Value config,
      json::parse(config_bytes, "the model's config", {.bytes = kMaxConfigBytes}));
  const Codec& codec = *find_codec(manifest);
  Model model;
  model.id = oci::Digest::of(as_bytes(manifest_bytes));
  model.kind = codec.kind;
  model.annotations = manifest.annotations;
  model.config = manifest.config;
  TRY(model.files, read_layers(manifest.layers));
  for (const oci::Descriptor& layer : manifest.layers) {
    if (__builtin_add_overflow(model.size, layer.size, &model.size)) {
      return fail(Code::kInvalid,
                  "the layers of the model are declared to be bigger than any disk");
    }
  }
  const json::View view(config, "config");
  TRY_OK(check_object(view));
  TRY_OK(codec.read(manifest, view, model));
  return model;
}

Result<oci::Descriptor> pick_manifest(const oci::Index& index, const oci::Platform& host) {
  std::vector<oci::Descriptor> entries = index.manifests;
  std::erase_if(entries, is_attestation);
  if (entries.size() == 1) return entries[0];
  const auto fits = [&](const oci::Descriptor& entry) {
    return entry.platform && entry.platform->os == host.os &&
           entry.platform->architecture == host.architecture;
  };
  for (const auto& test : {std::function<bool(const oci::Descriptor&)>(fits), {looks_like_model}}) {
    if (const auto found = std::ranges::find_if(entries, test); found != entries.end())
      return *found;
  }
  if (entries.empty())
    return fail(Code::kUnsupported, "the index names no manifest, so it is no model");
  return fail(Code::kUnsupported,
              "the index has no model for {}/{}; it has {}: name one by its digest", host.os,
              host.architecture, list_platforms(entries));
}

oci::Platform host_platform() {
#if defined(__aarch64__)
  return {"linux", "arm64", ""};
#elif defined(__x86_64__)
  return {"linux", "amd64", ""};
#else
  return {"linux", "unknown", ""};
#endif
}

}  // namespace berth::model
