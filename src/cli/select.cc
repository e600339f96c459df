// Which command is meant.
#include <algorithm>

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/suggest.h"

namespace berth::cli {
namespace {

const Command* find_command(const std::vector<Command>& table, std::string_view word) {
  for (const Command& command : table) {
    if (command.name == word || std::ranges::find(command.aliases, word) != command.aliases.end())
      return &command;
  }
  return nullptr;
}

const Flag* find_flag(const std::vector<Flag>& flags, std::string_view word) {
  for (const Flag& flag : flags) {
    if (word == "--" + std::string(flag.name)) return &flag;
    if (flag.letter != 0 && word == std::string("-") + flag.letter) return &flag;
  }
  return nullptr;
}

// An unknown flag before the command: its value, if it has one, must not be taken for a command.
const std::string* unknown_flag_before(const std::vector<std::string>& words, std::size_t until,
                                       const std::vector<Flag>& globals) {
  for (std::size_t i = 0; i < until; ++i) {
    const std::string name = words[i].substr(0, words[i].find('='));
    if (name.starts_with("--") && find_flag(globals, name) == nullptr) return &words[i];
    const Flag* flag = find_flag(globals, words[i]);
    if (flag != nullptr && !flag->value.empty()) ++i;
  }
  return nullptr;
}

Mistake unknown_global(const std::string& word, const std::vector<Flag>& globals,
                       const std::string& program) {
  std::vector<std::string> known;
  for (const Flag& flag : globals) known.push_back("--" + std::string(flag.name));
  const std::string near = nearest(word.substr(0, word.find('=')), known);
  return {fmt::format("unknown flag {} for {}", printable(word, 64), program),
          near.empty() ? fmt::format("see its flags with: {} --help", program)
                       : "did you mean: " + near};
}

bool is_flag(std::string_view word) { return word.size() > 1 && word.starts_with('-'); }

// The index of the next word at or after `from` that is neither a flag nor a flag's value.
std::size_t next_plain(const std::vector<std::string>& words, std::size_t from,
                       const std::vector<Flag>& globals, const Command* command) {
  for (std::size_t i = from; i < words.size(); ++i) {
    if (!is_flag(words[i])) return i;
    const Flag* flag = find_flag(globals, words[i]);
    if (flag == nullptr && command != nullptr) flag = find_flag(command->flags, words[i]);
    if (flag != nullptr && !flag->value.empty()) ++i;
  }
  return words.size();
}

std::vector<std::string> known_names(const std::vector<Command>& table) {
  std::vector<std::string> names;
  for (const Command& command : table) {
    if (command.group == Group::kHidden) continue;
    names.emplace_back(command.name);
    for (const std::string_view alias : command.aliases) names.emplace_back(alias);
  }
  return names;
}

Mistake unknown_command(const std::vector<Command>& table, const std::string& word,
                        const std::string& prefix, const std::string& program) {
  const std::string near = nearest(word, known_names(table));
  Mistake mistake{
      fmt::format("unknown command \"{}\" for {}{}", printable(word, 64), program, prefix), ""};
  mistake.hint = near.empty() ? fmt::format("see the commands with: {}{} --help", program, prefix)
                              : fmt::format("did you mean: {}{} {}", program, prefix, near);
  return mistake;
}

// docker's own global flags that take a value.
constexpr std::array<std::string_view, 12> kDockerValued = {
    "--config",    "-c",          "--context", "-H",       "--host", "-l",
    "--log-level", "--tlscacert", "--tlscert", "--tlskey", "",       ""};

void keep_docker_flag(std::string_view flag, const std::string& value, Globals& globals) {
  if (flag == "--config") globals.docker_config = value;
}

}  // namespace

Parsed<Selection> select_command(const std::vector<Command>& table,
                                 const std::vector<Flag>& globals,
                                 const std::vector<std::string>& words,
                                 const std::string& program) {
  Selection selection;
  const auto dashes = std::ranges::find(words, "--");
  selection.words.assign(words.begin(), dashes);
  selection.has_rest = dashes != words.end();
  if (selection.has_rest) selection.rest.assign(dashes + 1, words.end());

  const std::vector<Command>* level = &table;
  std::size_t at = 0;
  while (!level->empty()) {
    at = next_plain(selection.words, at, globals, selection.command);
    if (at == selection.words.size()) break;
    if (selection.command == nullptr) {
      const std::string* unknown = unknown_flag_before(selection.words, at, globals);
      if (unknown != nullptr) return std::unexpected(unknown_global(*unknown, globals, program));
    }
    const Command* command = find_command(*level, selection.words[at]);
    if (command == nullptr) {
      // `configure show` is a child of a command that also takes a model itself.
      if (selection.command != nullptr && selection.command->run) break;
      const std::string prefix = selection.path.empty() ? "" : " " + selection.path;
      return std::unexpected(unknown_command(*level, selection.words[at], prefix, program));
    }
    selection.command = command;
    selection.path += (selection.path.empty() ? "" : " ") + std::string(command->name);
    selection.words.erase(selection.words.begin() + static_cast<std::ptrdiff_t>(at));
    level = &command->children;
  }
  return selection;
}

std::vector<std::string> strip_docker(const std::vector<std::string>& words, Globals& globals) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "model") return {words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end()};
    if (!is_flag(word)) return words;
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (name == "-D" || name == "--debug") globals.debug = true;
    if (std::ranges::find(kDockerValued, name) == kDockerValued.end()) continue;
    if (equals != std::string::npos) {
      keep_docker_flag(name, word.substr(equals + 1), globals);
    } else if (i + 1 < words.size()) {
      keep_docker_flag(name, words[++i], globals);
    }
  }
  return words;
}

}  // namespace berth::cli
