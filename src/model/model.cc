#include "model/model.h"

#include <algorithm>
#include <array>
#include <utility>

namespace berth::model {
namespace {

constexpr auto kRoles = std::to_array<std::pair<Role, std::string_view>>({
    {Role::kWeights, "weights"},
    {Role::kMmproj, "mmproj"},
    {Role::kLora, "lora"},
    {Role::kChatTemplate, "chat_template"},
    {Role::kLicense, "license"},
    {Role::kConfig, "config"},
    {Role::kTokenizer, "tokenizer"},
    {Role::kDoc, "doc"},
    {Role::kCode, "code"},
    {Role::kDataset, "dataset"},
    {Role::kOther, "other"},
});

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::kDockerV01:
      return "docker v0.1";
    case Kind::kDockerV02:
      return "docker v0.2";
    case Kind::kModelPack:
      return "modelpack";
  }
  return "";
}

std::string_view display_name(Kind kind) {
  switch (kind) {
    case Kind::kDockerV01:
      return "docker.ai v0.1";
    case Kind::kDockerV02:
      return "docker.ai v0.2";
    case Kind::kModelPack:
      return "ModelPack";
  }
  return "";
}

std::string_view to_string(Role role) {
  return std::ranges::find(kRoles, role, [](const auto& entry) { return entry.first; })->second;
}

std::optional<Role> role_from_string(std::string_view name) {
  const auto found =
      std::ranges::find(kRoles, name, [](const auto& entry) { return entry.second; });
  return found == kRoles.end() ? std::nullopt : std::optional(found->first);
}

std::string_view to_string(Packing packing) {
  switch (packing) {
    case Packing::kRaw:
      return "raw";
    case Packing::kTar:
      return "tar";
    case Packing::kTarGzip:
      return "tar+gzip";
    case Packing::kTarZstd:
      return "tar+zstd";
  }
  return "";
}

const File* Model::first(Role role) const {
  const auto found = std::ranges::find(files, role, &File::role);
  return found == files.end() ? nullptr : &*found;
}

}  // namespace berth::model
