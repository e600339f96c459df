// Completion: the shells' scripts ask `berth __complete WORDS…`, so they never fall behind the
// commands.
//
// The answer is that of docker's plugins (cobra): "candidate<TAB>description" lines, then ":N",
// where N is 4 for "no files", 0 for "files as well", 16 for "directories".
#include <algorithm>

#include "cli/help.h"

namespace berth::cli {
namespace {

const Command* child(const std::vector<Command>& table, const std::string& word) {
  for (const Command& command : table) {
    if (command.name == word || std::ranges::find(command.aliases, word) != command.aliases.end())
      return &command;
  }
  return nullptr;
}

const Flag* flag_of(const std::vector<Flag>& flags, const std::string& word) {
  for (const Flag& flag : flags) {
    if (word == "--" + std::string(flag.name) ||
        (flag.letter != 0 && word == std::string("-") + flag.letter))
      return &flag;
  }
  return nullptr;
}

void add_flags(Candidates& found, const std::vector<Flag>& flags, const std::string& typed) {
  for (const Flag& flag : flags) {
    const std::string name = "--" + std::string(flag.name);
    if (!flag.hidden && name.starts_with(typed)) found.words.emplace_back(name, flag.help);
  }
}

void add_commands(Candidates& found, const std::vector<Command>& table, const std::string& typed) {
  for (const Command& command : table) {
    if (command.group == Group::kHidden || !command.name.starts_with(typed)) continue;
    found.words.emplace_back(command.name, command.summary);
  }
}

void add_value(Candidates& found, const Flag& flag, const std::string& typed) {
  found.also = flag.completes;
  for (const std::string_view choice : flag.choices) {
    if (choice.starts_with(typed)) found.words.emplace_back(choice, "");
  }
}

Completes argument_at(const Command& command, std::size_t index) {
  for (const Argument& argument : command.arguments) {
    const bool list = std::holds_alternative<std::vector<std::string>*>(argument.target);
    if (list || index == 0) return argument.completes;
    --index;
  }
  return Completes::kNothing;
}

constexpr std::string_view kBash = R"(# bash completion for PROGRAM
_FUNCTION_complete() {
  local IFS=$'\n' directive= line
  COMPREPLY=()
  while read -r line; do
    if [[ $line == :* ]]; then directive=${line#:}; else COMPREPLY+=("${line%%$'\t'*}"); fi
  done < <(PROGRAM __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ $directive == 0 ]]; then COMPREPLY+=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); fi
  if [[ $directive == 16 ]]; then COMPREPLY+=($(compgen -d -- "${COMP_WORDS[COMP_CWORD]}")); fi
  # A colon in a model's name is a word break to bash: what it has already is taken off.
  if declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "${COMP_WORDS[COMP_CWORD]}"
  fi
}
complete -o filenames -F _FUNCTION_complete PROGRAM
)";

constexpr std::string_view kZsh = R"(#compdef PROGRAM
# zsh completion for PROGRAM
_FUNCTION() {
  local -a found
  local line directive name
  while IFS= read -r line; do
    if [[ $line == :* ]]; then
      directive=${line#:}
    else
      name=${line%%$'\t'*}
      found+=("${name//:/\\:}:${line#*$'\t'}")
    fi
  done < <(PROGRAM __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe -V 'PROGRAM' found
  [[ $directive == 0 ]] && _files
  [[ $directive == 16 ]] && _files -/
  return 0
}
compdef _FUNCTION PROGRAM
)";

constexpr std::string_view kFish = R"(# fish completion for PROGRAM
function __FUNCTION_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l typed (commandline -ct)
    for line in (PROGRAM __complete -- $words "$typed" 2>/dev/null)
        switch $line
            case ':0'
                __fish_complete_path "$typed"
            case ':16'
                __fish_complete_directories "$typed"
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c PROGRAM -f -a '(__FUNCTION_complete)'
)";

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  while (true) {
    const std::size_t at = text.find(what);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += by;
    text.remove_prefix(at + what.size());
  }
}

}  // namespace

std::string completion_script(const std::string& shell, const std::string& program) {
  std::string_view script;
  if (shell == "bash") script = kBash;
  if (shell == "zsh") script = kZsh;
  if (shell == "fish") script = kFish;
  std::string function = program;
  std::ranges::replace(function, '-', '_');
  return replaced(replaced(script, "PROGRAM", program), "FUNCTION", function);
}

Candidates candidates(const std::vector<Command>& table, const std::vector<Flag>& globals,
                      const std::vector<std::string>& words) {
  Candidates found;
  const std::string typed = words.empty() ? "" : words.back();
  const Command* command = nullptr;
  const std::vector<Command>* level = &table;
  const Flag* pending = nullptr;  // waits for its value
  std::size_t arguments = 0;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (std::exchange(pending, nullptr) != nullptr) continue;
    if (words[i].starts_with('-')) {
      const Flag* flag = command != nullptr ? flag_of(command->flags, words[i]) : nullptr;
      if (flag == nullptr) flag = flag_of(globals, words[i]);
      if (flag != nullptr && !flag->value.empty()) pending = flag;
    } else if (const Command* next = arguments == 0 ? child(*level, words[i]) : nullptr) {
      command = next;
      level = &next->children;
    } else {
      ++arguments;
    }
  }
  if (pending != nullptr) {
    add_value(found, *pending, typed);
  } else if (typed.starts_with('-')) {
    if (command != nullptr) add_flags(found, command->flags, typed);
    add_flags(found, globals, typed);
  } else {
    if (arguments == 0) add_commands(found, *level, typed);
    if (command != nullptr) found.also = argument_at(*command, arguments);
  }
  return found;
}

}  // namespace berth::cli
