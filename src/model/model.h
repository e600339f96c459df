// What an artifact means: a model with its files, whatever format its manifest is in. Values;
// thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"
#include "oci/manifest.h"

namespace berth::model {

enum class Kind { kDockerV01, kDockerV02, kModelPack };
std::string_view to_string(Kind kind);     // "docker v0.1", "docker v0.2", "modelpack"
std::string_view display_name(Kind kind);  // "docker.ai v0.1", "docker.ai v0.2", "ModelPack"

enum class Role {
  kWeights,
  kMmproj,
  kLora,
  kChatTemplate,
  kLicense,
  kConfig,
  kTokenizer,
  kDoc,
  kCode,
  kDataset,
  kOther,
};
std::string_view to_string(Role role);  // "weights", "mmproj", "chat_template", …
std::optional<Role> role_from_string(std::string_view name);

// How a layer holds its file: as it is, or as an archive of several.
enum class Packing { kRaw, kTar, kTarGzip, kTarZstd };
std::string_view to_string(Packing packing);

struct File {
  // Relative, checked, unique in the model. Of an archive: what it is said to hold, or ""; its
  // entries are relative to the root of the model.
  std::string path;
  Role role = Role::kOther;
  Packing packing = Packing::kRaw;
  oci::Descriptor descriptor;
};

struct Model {
  oci::Digest id = oci::Digest::of({});  // of the manifest
  Kind kind = Kind::kDockerV01;
  std::string format;  // "gguf", "safetensors", "dduf", "diffusers" or what the config says; ""
                       // when it says nothing
  std::string architecture;
  std::string parameters;                       // "134.52M"
  std::string quantization;                     // "Q4_K_M"
  std::vector<std::string> licenses;            // that the config names, mostly SPDX
  std::uint64_t size = 0;                       // bytes of all layers
  std::optional<std::uint64_t> context_size;    // what the packager asked for
  std::optional<std::uint64_t> context_length;  // what the model was trained with
  std::optional<std::chrono::sys_seconds> created;
  oci::Annotations annotations;  // of the manifest
  oci::Descriptor config;
  std::vector<File> files;  // in the order of the manifest's layers
  // The flat object that Docker Model Runner's API gives as `config`, whatever the artifact's own
  // kind.
  json::Object api_config;

  const File* first(Role role) const;  // nullptr when there is none
};

}  // namespace berth::model
