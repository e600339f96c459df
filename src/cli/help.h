// Help, man pages and completion, all made from the command records. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"

namespace berth::cli {

std::string root_help(const std::vector<Command>& table, const std::vector<Flag>& globals,
                      const std::string& program);
// `path` is "configure show".
std::string command_help(const Command& command, const std::string& path,
                         const std::string& program);
// "berth pull [FLAGS] MODEL"
std::string usage_line(const Command& command, const std::string& path, const std::string& program);

struct ManPage {
  std::string file;  // "berth-pull.1"
  std::string text;
};
std::vector<ManPage> man_pages(const std::vector<Command>& table, const std::vector<Flag>& globals);

// The script of a shell ("bash", "zsh", "fish"): it asks `berth __complete`. "" for another shell.
std::string completion_script(const std::string& shell, const std::string& program);

// What may follow `words` (the last one is being typed). `models` is true when names of local
// models fit as well.
struct Candidates {
  std::vector<std::pair<std::string, std::string>> words;  // and what they are
  Completes also = Completes::kNothing;
};
Candidates candidates(const std::vector<Command>& table, const std::vector<Flag>& globals,
                      const std::vector<std::string>& words);

}  // namespace berth::cli
