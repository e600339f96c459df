#include "formats/classify.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace berth::formats {
namespace {

using Suffix = std::pair<std::string_view, FileClass>;

// Weights and templates are known by their suffix before anything else.
constexpr auto kFirst = std::to_array<Suffix>({
    {".gguf", FileClass::kGguf},
    {".safetensors", FileClass::kSafetensors},
    {".dduf", FileClass::kDduf},
    {".jinja", FileClass::kChatTemplate},
});
constexpr auto kLast = std::to_array<Suffix>({
    {".md", FileClass::kDoc},
    {".rst", FileClass::kDoc},
    {".pdf", FileClass::kDoc},
    {".txt", FileClass::kConfig},
    {".json", FileClass::kConfig},
    {".vocab", FileClass::kConfig},
    {".yaml", FileClass::kConfig},
    {".yml", FileClass::kConfig},
    {".toml", FileClass::kConfig},
    {".py", FileClass::kCode},
    {".ipynb", FileClass::kCode},
    {".sh", FileClass::kCode},
    {".js", FileClass::kCode},
});

template <std::size_t N>
std::optional<FileClass> by_suffix(const std::array<Suffix, N>& table, std::string_view name) {
  for (const auto& [suffix, kind] : table) {
    if (name.ends_with(suffix)) return kind;
  }
  return std::nullopt;
}

bool is_license(std::string_view name) {
  for (const std::string_view word : {"license", "licence", "copying", "notice"}) {
    if (name.find(word) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

FileClass classify(std::string_view path) {
  const std::string name = to_lower(path.substr(path.rfind('/') + 1));
  if (const auto kind = by_suffix(kFirst, name)) return *kind;
  if (name.starts_with("chat_template")) return FileClass::kChatTemplate;
  if (is_license(name)) return FileClass::kLicense;
  if (name == "tokenizer.model") return FileClass::kConfig;
  return by_suffix(kLast, name).value_or(FileClass::kOther);
}

std::optional<ShardName> parse_shard_name(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  constexpr std::size_t kTail = std::string_view("-00001-of-00002").size();
  if (dot == std::string_view::npos || dot <= kTail) return std::nullopt;
  const std::string_view tail = path.substr(dot - kTail, kTail);
  const auto number = parse_u64(tail.substr(1, 5));
  const auto count = parse_u64(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !number || !count) return std::nullopt;
  if (*number == 0 || *number > *count) return std::nullopt;
  const std::string_view extension = path.substr(dot);
  if (extension != ".gguf" && extension != ".safetensors") return std::nullopt;
  return ShardName{std::string(path.substr(0, dot - kTail)), static_cast<std::uint32_t>(*number),
                   static_cast<std::uint32_t>(*count), std::string(extension)};
}

std::string ShardName::of(std::uint32_t other) const {
  return fmt::format("{}-{:05}-of-{:05}{}", prefix, other, count, extension);
}

}  // namespace berth::formats
