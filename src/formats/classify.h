// What a file of a model is, by its name (Docker Model Runner's rules, facts 3.3). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::formats {

enum class FileClass {
  kGguf,
  kSafetensors,
  kDduf,
  kChatTemplate,
  kLicense,
  kConfig,
  kDoc,
  kCode,
  kOther
};
FileClass classify(std::string_view path);

// "model-00002-of-00005.gguf" (or .safetensors): prefix "model", number 2, count 5.
struct ShardName {
  std::string prefix;  // with its folders
  std::uint32_t number = 0;
  std::uint32_t count = 0;
  std::string extension;  // ".gguf"

  std::string of(std::uint32_t other) const;  // the name of another shard of the set
};
std::optional<ShardName> parse_shard_name(std::string_view path);

}  // namespace berth::formats
