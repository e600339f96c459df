#include "process/command.h"

#include <algorithm>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

namespace berth::process {
namespace {

bool is_program(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-_./:=,+@%").find(c) != std::string_view::npos;
}

std::string quoted(const std::string& word) {
  if (!word.empty() && std::ranges::all_of(word, is_plain)) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::optional<std::string> find_program(std::string_view name, std::string_view path) {
  if (name.empty()) return std::nullopt;
  if (name.find('/') != std::string_view::npos) {
    std::error_code failed;
    const std::string absolute = std::filesystem::absolute(name, failed).string();
    if (!failed && is_program(absolute)) return absolute;
    return std::nullopt;
  }
  for (const std::string& folder : split(path, ':')) {
    if (!folder.starts_with('/')) continue;
    std::string candidate = folder + "/" + std::string(name);
    if (is_program(candidate)) return candidate;
  }
  return std::nullopt;
}

std::string describe(const Command& command) {
  std::string line = quoted(command.program);
  for (const std::string& argument : command.arguments) line += " " + quoted(argument);
  return printable(line, 16 * 1024);
}

}  // namespace berth::process
