// From words to a command with its options filled: finds the command, reads flags and arguments,
// explains mistakes.
//
// Pure but for the options that the records point to. Failure: kInvalid with one sentence, and a
// suggestion as a hint.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace berth::cli {

struct Selection {
  const Command* command = nullptr;  // nullptr: none was given
  std::string path;                  // "configure show"
  std::vector<std::string> words;    // flags and arguments, command words taken out
  std::vector<std::string> rest;     // after --
  bool has_rest = false;             // there was a --
};

// A mistake on the command line: one sentence, and perhaps a hint.
struct Mistake {
  std::string message;
  std::string hint;
};
template <class T>
using Parsed = std::expected<T, Mistake>;

Parsed<Selection> select_command(const std::vector<Command>& table,
                                 const std::vector<Flag>& globals,
                                 const std::vector<std::string>& words, const std::string& program);

// Fills the targets of `globals`, of the command's flags and of its arguments. Arguments are not
// checked for presence when `lenient` (for --help).
Parsed<bool> fill(const Selection& selection, const std::vector<Flag>& globals,
                  const std::string& program);

// What docker puts before the plugin's own words. `docker --debug model pull X` calls `docker-model
// --debug model pull X`.
std::vector<std::string> strip_docker(const std::vector<std::string>& words, Globals& globals);

}  // namespace berth::cli
