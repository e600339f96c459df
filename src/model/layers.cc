#include "model/layers.h"

#include <array>
#include <map>
#include <set>
#include <utility>

#include "formats/classify.h"
#include "fs/file.h"
#include "model/media.h"
#include "oci/media_types.h"

namespace berth::model {
namespace {

struct Meaning {
  std::string_view name;
  Role role;
  Packing packing = Packing::kRaw;
};

constexpr auto kDockerLayers = std::to_array<Meaning>({
    {media::kGguf, Role::kWeights},
    {media::kSafetensors, Role::kWeights},
    {media::kDduf, Role::kWeights},
    {media::kLora, Role::kLora},
    {media::kMmproj, Role::kMmproj},
    {media::kMmprojSpec, Role::kMmproj},
    {media::kChatTemplate, Role::kChatTemplate},
    {media::kLicense, Role::kLicense},
    {media::kDirTar, Role::kOther, Packing::kTar},
    {media::kVllmConfigTar, Role::kConfig, Packing::kTar},
});

constexpr auto kModelPackKinds = std::to_array<std::pair<std::string_view, Role>>({
    {"weight.config.v1.", Role::kConfig},
    {"weight.v1.", Role::kWeights},
    {"doc.v1.", Role::kDoc},
    {"code.v1.", Role::kCode},
    {"dataset.v1.", Role::kDataset},
});

constexpr auto kPackings = std::to_array<std::pair<std::string_view, Packing>>({
    {"tar", Packing::kTar},
    {"tar+gzip", Packing::kTarGzip},
    {"tar+zstd", Packing::kTarZstd},
});

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_projector_name(std::string_view path) {
  const std::string name = to_lower(base_name(path));
  return name.find("mmproj") != std::string::npos && name.ends_with(".gguf");
}

// ModelPack has fewer kinds of layers than Berth has roles: the annotation, then the name, tells
// more.
Role refine(Role role, const oci::Descriptor& layer, std::string_view path) {
  const auto named = role_from_string(layer.annotation(annotation::kRole));
  if (role == Role::kWeights) {
    if (named == Role::kMmproj || named == Role::kLora) return *named;
    return is_projector_name(path) ? Role::kMmproj : role;
  }
  if (role == Role::kConfig) {
    if (named == Role::kChatTemplate) return *named;
    const Role by_name = role_of_file(path);
    return by_name == Role::kChatTemplate || by_name == Role::kTokenizer ? by_name : role;
  }
  if (role == Role::kDoc) return role_of_file(path) == Role::kLicense ? Role::kLicense : role;
  return role;
}

std::optional<File> read_modelpack_type(const oci::Descriptor& layer, std::string_view path) {
  std::string_view type = layer.media_type;
  if (type.starts_with(media::kModelPackPrefix)) {
    type.remove_prefix(media::kModelPackPrefix.size());
  } else if (type.starts_with(media::kCnaiPrefix)) {
    type.remove_prefix(media::kCnaiPrefix.size());
  } else {
    return std::nullopt;
  }
  for (const auto& [kind, role] : kModelPackKinds) {
    if (!type.starts_with(kind)) continue;
    File file{std::string(path), refine(role, layer, path), Packing::kRaw, layer};
    for (const auto& [suffix, packing] : kPackings) {
      if (type.substr(kind.size()) == suffix) file.packing = packing;
    }
    return file;
  }
  return std::nullopt;
}

std::string extension_of(const oci::Descriptor& layer) {
  if (layer.media_type == media::kSafetensors) return ".safetensors";
  return layer.media_type == media::kDduf ? ".dduf" : ".gguf";
}

// The names that Docker Model Runner gives to files without one.
std::string default_name(const File& file, std::size_t number, std::size_t count) {
  const auto numbered = [&](std::string_view stem, std::string_view extension) {
    if (number == 1) return fmt::format("{}{}", stem, extension);
    return fmt::format("{}-{}{}", stem, number, extension);
  };
  switch (file.role) {
    case Role::kWeights:
      if (count == 1) return "model" + extension_of(file.descriptor);
      return fmt::format("model-{:05}-of-{:05}{}", number, count, extension_of(file.descriptor));
    case Role::kMmproj:
      return numbered("model", ".mmproj");
    case Role::kLora:
      return numbered("lora", ".gguf");
    case Role::kChatTemplate:
      return numbered("template", ".jinja");
    case Role::kLicense:
      return numbered("LICENSE", "");
    default:
      return numbered(to_string(file.role), "");
  }
}

void name_the_nameless(std::vector<File>& files) {
  std::map<std::pair<Role, std::string>, std::size_t> totals;
  std::map<std::pair<Role, std::string>, std::size_t> seen;
  const auto key = [](const File& file) {
    return std::pair(file.role, extension_of(file.descriptor));
  };
  const auto nameless = [](const File& file) {
    return file.path.empty() && file.packing == Packing::kRaw;
  };
  for (const File& file : files) totals[key(file)] += nameless(file) ? 1 : 0;
  for (File& file : files) {
    if (nameless(file)) file.path = default_name(file, ++seen[key(file)], totals[key(file)]);
  }
}

// A file may not stand where another needs a folder.
Status check_folders(const std::map<std::string, oci::Digest>& paths) {
  for (const auto& [path, digest] : paths) {
    for (std::size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      if (paths.contains(path.substr(0, slash))) {
        return fail(Code::kInvalid, "the model has both a file {} and a file {} below it",
                    printable(path.substr(0, slash)), printable(path));
      }
    }
  }
  return {};
}

}  // namespace

Role role_of_file(std::string_view path) {
  const std::string name = to_lower(base_name(path));
  switch (formats::classify(path)) {
    case formats::FileClass::kGguf:
      return is_projector_name(path) ? Role::kMmproj : Role::kWeights;
    case formats::FileClass::kSafetensors:
    case formats::FileClass::kDduf:
      return Role::kWeights;
    case formats::FileClass::kChatTemplate:
      return Role::kChatTemplate;
    case formats::FileClass::kLicense:
      return Role::kLicense;
    case formats::FileClass::kConfig:
      if (name.starts_with("tokenizer") || name.starts_with("vocab") || name == "merges.txt")
        return Role::kTokenizer;
      return Role::kConfig;
    case formats::FileClass::kDoc:
      return Role::kDoc;
    case formats::FileClass::kCode:
      return Role::kCode;
    case formats::FileClass::kOther:
      return Role::kOther;
  }
  return Role::kOther;
}

// What a title says only counts when there is no file path: readers of models go by the latter.
std::string annotated_path(const oci::Descriptor& layer) {
  for (const std::string_view key :
       {annotation::kFilePath, annotation::kCnaiFilePath, oci::annotation::kTitle}) {
    if (std::string path = layer.annotation(key); !path.empty()) return path;
  }
  return "";
}

File classify_layer(const oci::Descriptor& layer) {
  const std::string path = annotated_path(layer);
  if (auto file = read_modelpack_type(layer, path)) return std::move(*file);
  for (const Meaning& meaning : kDockerLayers) {
    if (layer.media_type == meaning.name) return {path, meaning.role, meaning.packing, layer};
  }
  // Any other type is a plain file beside the model; it never becomes weights by its name alone.
  const Role by_name = role_of_file(path);
  return {path, by_name == Role::kWeights ? Role::kOther : by_name, Packing::kRaw, layer};
}

Result<std::vector<File>> read_layers(const std::vector<oci::Descriptor>& layers) {
  std::vector<File> files;
  for (const oci::Descriptor& layer : layers) files.push_back(classify_layer(layer));
  name_the_nameless(files);
  std::vector<File> unique;
  std::map<std::string, oci::Digest> paths;
  for (File& file : files) {
    if (!file.path.empty()) {
      TRY_OK(
          in_context(fs::check_relative_path(file.path), "a file of the model has an unsafe name"));
    }
    if (file.packing == Packing::kRaw) {
      const auto [at, inserted] = paths.emplace(file.path, file.descriptor.digest);
      if (!inserted && at->second == file.descriptor.digest) continue;
      if (!inserted)
        return fail(Code::kInvalid, "the model has two files named {}", printable(file.path));
    }
    unique.push_back(std::move(file));
  }
  TRY_OK(check_folders(paths));
  return unique;
}

std::string infer_format(const std::vector<File>& files) {
  for (const File& file : files) {
    if (file.role != Role::kWeights) continue;
    switch (formats::classify(file.path)) {
      case formats::FileClass::kGguf:
        return "gguf";
      case formats::FileClass::kSafetensors:
        return "safetensors";
      case formats::FileClass::kDduf:
        return "dduf";
      default:
        break;
    }
  }
  return "";
}

}  // namespace berth::model
