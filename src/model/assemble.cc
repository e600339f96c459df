// The bytes of a package: config documents and the manifest, with fixed key order and no clock.
#include "base/text.h"
#include "model/media.h"
#include "model/package.h"
#include "oci/media_types.h"

namespace berth::model {
namespace {

constexpr unsigned kMode = 0644;
constexpr int kRegularFile = '0';  // tar's type flag

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string file_metadata(const PlannedFile& file, std::uint64_t size,
                          std::chrono::sys_seconds created) {
  json::Object metadata;
  metadata["name"] = base_name(file.path);
  metadata["mode"] = kMode;
  metadata["uid"] = 0;
  metadata["gid"] = 0;
  metadata["size"] = size;
  metadata["mtime"] = format_rfc3339(created);
  metadata["typeflag"] = kRegularFile;
  return json::serialize(metadata);
}

bool needs_role(Role role) {
  return role == Role::kMmproj || role == Role::kLora || role == Role::kChatTemplate ||
         role == Role::kLicense;
}

oci::Descriptor layer_of(const Plan& plan, const PlannedFile& file, const StoredFile& stored) {
  oci::Descriptor layer{
      .media_type = file.media_type, .digest = stored.digest, .size = stored.size};
  layer.annotations[std::string(annotation::kFilePath)] = file.path;
  layer.annotations[std::string(annotation::kFileMetadata)] =
      file_metadata(file, stored.size, plan.created);
  layer.annotations[std::string(annotation::kUntested)] = "false";
  layer.annotations[std::string(oci::annotation::kTitle)] = file.path;
  if (plan.kind == Kind::kModelPack && needs_role(file.role)) {
    layer.annotations[std::string(annotation::kRole)] = to_string(file.role);
  }
  return layer;
}

bool is_kept(const PlannedFile& file) {
  return file.existing && file.existing->media_type == file.media_type;
}

Result<std::vector<oci::Descriptor>> make_layers(const Plan& plan,
                                                 const std::vector<StoredFile>& stored) {
  std::vector<oci::Descriptor> layers;
  std::size_t next = 0;
  for (const PlannedFile& file : plan.files) {
    if (is_kept(file)) {
      layers.push_back(*file.existing);
    } else if (file.existing) {
      layers.push_back(layer_of(plan, file, {file.existing->digest, file.existing->size}));
    } else {
      if (next == stored.size())
        return fail(Code::kInternal, "fewer files were stored than planned: {}", next);
      const StoredFile& entry = stored[next++];
      if (entry.size != file.size) {
        return fail(Code::kCorrupt,
                    "{} had {} bytes when it was inspected and {} when it was stored: it was "
                    "changed meanwhile",
                    printable(file.source), file.size, entry.size);
      }
      layers.push_back(layer_of(plan, file, entry));
    }
  }
  if (next != stored.size())
    return fail(Code::kInternal, "more files were stored than planned: {}", stored.size());
  return layers;
}

json::Array diff_ids(const Plan& plan, const std::vector<oci::Descriptor>& layers) {
  json::Array ids;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string& known = plan.files[i].diff_id;
    ids.emplace_back(known.empty() ? layers[i].digest.string() : known);
  }
  return ids;
}

// A member that is an object, keeping what is in it.
json::Object& object_in(json::Object& parent, std::string_view key) {
  json::Value& value = parent[key];
  if (!value.is_object()) value = json::Object();
  return value.get_object();
}

void set(json::Object& object, std::string_view key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

void set(json::Object& object, std::string_view key, const json::Object& value) {
  if (!value.empty()) object[key] = value;
}

json::Object docker_config(const Plan& plan, const std::vector<oci::Descriptor>& layers) {
  json::Object document = plan.base;
  json::Object& config = object_in(document, "config");
  set(config, "format", plan.facts.format);
  set(config, "quantization", plan.facts.quantization);
  set(config, "parameters", plan.facts.parameters);
  set(config, "architecture", plan.facts.architecture);
  set(config, "size", plan.facts.size);
  set(config, "gguf", plan.facts.gguf);
  set(config, "safetensors", plan.facts.safetensors);
  set(config, "diffusers", plan.facts.diffusers);
  if (plan.facts.context_size) config["context_size"] = *plan.facts.context_size;
  object_in(document, "descriptor")["created"] = format_rfc3339(plan.created);
  json::Object& rootfs = object_in(document, "rootfs");
  rootfs["type"] = "rootfs";
  rootfs["diff_ids"] = diff_ids(plan, layers);
  return document;
}

json::Object modelpack_config(const Plan& plan, const std::vector<oci::Descriptor>& layers) {
  json::Object document = plan.base;
  json::Object& descriptor = object_in(document, "descriptor");
  descriptor["createdAt"] = format_rfc3339(plan.created);
  set(descriptor, "family", plan.facts.architecture);
  set(descriptor, "name", plan.facts.name);
  if (!plan.facts.license.empty())
    descriptor["licenses"] = json::Array{json::Value(plan.facts.license)};
  json::Object& config = object_in(document, "config");
  set(config, "architecture", plan.facts.architecture);
  set(config, "format", plan.facts.format);
  set(config, "paramSize", to_lower(plan.facts.parameters));
  set(config, "quantization", plan.facts.quantization);
  json::Object& modelfs = object_in(document, "modelfs");
  modelfs["type"] = "layers";
  modelfs["diffIds"] = diff_ids(plan, layers);
  return document;
}

std::string_view config_type(Kind kind) {
  switch (kind) {
    case Kind::kDockerV01:
      return media::kDockerConfigV01;
    case Kind::kDockerV02:
      return media::kDockerConfigV02;
    case Kind::kModelPack:
      return media::kModelPackConfig;
  }
  return "";
}

oci::Annotations manifest_annotations(const Plan& plan) {
  oci::Annotations annotations = plan.annotations;
  const std::string size_key(annotation::kContextSize);
  const std::string length_key(annotation::kContextLength);
  annotations.erase(size_key);
  annotations.erase(length_key);
  if (plan.kind != Kind::kModelPack) return annotations;
  if (plan.facts.context_size) annotations[size_key] = fmt::format("{}", *plan.facts.context_size);
  if (plan.facts.context_length)
    annotations[length_key] = fmt::format("{}", *plan.facts.context_length);
  return annotations;
}

}  // namespace

Result<Package> assemble(const Plan& plan, const std::vector<StoredFile>& stored) {
  Package package;
  TRY(package.layers, make_layers(plan, stored));
  const bool modelpack = plan.kind == Kind::kModelPack;
  const json::Object document =
      modelpack ? modelpack_config(plan, package.layers) : docker_config(plan, package.layers);
  package.config = json::serialize(document);
  package.config_descriptor = oci::describe(package.config, config_type(plan.kind));
  oci::Manifest manifest{.media_type = std::string(oci::media::kManifest),
                         .artifact_type = modelpack ? std::string(media::kModelPackManifest) : "",
                         .config = package.config_descriptor,
                         .layers = package.layers,
                         .subject = {},
                         .annotations = manifest_annotations(plan)};
  package.manifest = oci::serialize(manifest);
  if (package.manifest.size() > oci::kManifestBytes) {
    return fail(Code::kTooLarge,
                "the manifest would have {} bytes; registries take {}: package fewer files",
                package.manifest.size(), oci::kManifestBytes);
  }
  package.manifest_descriptor = oci::describe(package.manifest, oci::media::kManifest);
  package.manifest_descriptor.artifact_type = manifest.artifact_type;
  return package;
}

}  // namespace berth::model
