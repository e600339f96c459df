#include "cli/help.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

constexpr std::array<std::pair<Group, std::string_view>, 4> kGroups = {{
    {Group::kModels, "Models"},
    {Group::kRunning, "Running"},
    {Group::kServer, "Server and engine"},
    {Group::kMachine, "This machine"},
}};

// Two columns, the second one aligned.
std::string aligned(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, columns(left));
  std::string text;
  for (const auto& [left, right] : rows) {
    text += "  " + left + std::string(width - columns(left) + 2, ' ') + right + "\n";
  }
  return text;
}

std::string flag_names(const Flag& flag) {
  const std::string letter = flag.letter != 0 ? fmt::format("-{}, ", flag.letter) : "    ";
  const std::string value = flag.value.empty() ? "" : " " + std::string(flag.value);
  return fmt::format("{}--{}{}", letter, flag.name, value);
}

std::string flag_help(const Flag& flag) {
  if (flag.choices.empty()) return std::string(flag.help);
  return fmt::format("{} ({})", flag.help, fmt::join(flag.choices, ", "));
}

std::string flags_section(std::string_view title, const std::vector<Flag>& flags) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Flag& flag : flags) {
    if (!flag.hidden) rows.emplace_back(flag_names(flag), flag_help(flag));
  }
  if (rows.empty()) return "";
  return fmt::format("\n{}:\n", title) + aligned(rows);
}

std::string commands_section(std::string_view title, const std::vector<Command>& table,
                             Group group) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& command : table) {
    if (command.group != group) continue;
    std::string names(command.name);
    for (const std::string_view alias : command.aliases) names += fmt::format(", {}", alias);
    rows.emplace_back(std::move(names), command.summary);
  }
  if (rows.empty()) return "";
  return fmt::format("\n{}:\n", title) + aligned(rows);
}

std::string argument_text(const Argument& argument) {
  switch (argument.count) {
    case Argument::Count::kOne:
      return std::string(argument.name);
    case Argument::Count::kOptional:
      return fmt::format("[{}]", argument.name);
    case Argument::Count::kAny:
      return fmt::format("[{}...]", argument.name);
    case Argument::Count::kSome:
      return fmt::format("{0} [{0}...]", argument.name);
  }
  return "";
}

std::string example_lines(std::string_view examples, const std::string& program) {
  std::string text;
  for (const std::string& line : split(examples, '\n')) {
    if (line.empty()) continue;
    // Written as "berth …": as docker's plugin they are called otherwise.
    const bool own = line.starts_with("berth ");
    text += "  " + (own ? program + line.substr(5) : line) + "\n";
  }
  return text;
}

}  // namespace

std::string usage_line(const Command& command, const std::string& path,
                       const std::string& program) {
  std::string line = program + " " + path;
  if (!command.run) return line + " COMMAND";
  if (!command.flags.empty()) line += " [FLAGS]";
  for (const Argument& argument : command.arguments) line += " " + argument_text(argument);
  if (command.rest != nullptr) line += " [-- RUNTIME FLAGS...]";
  return line;
}

std::string command_help(const Command& command, const std::string& path,
                         const std::string& program) {
  std::string text =
      fmt::format("{}\n\nUsage: {}\n", command.summary, usage_line(command, path, program));
  if (!command.aliases.empty())
    text += fmt::format("Also:  {}\n", fmt::join(command.aliases, ", "));
  if (!command.details.empty()) text += fmt::format("\n{}\n", command.details);
  if (!command.children.empty())
    text += commands_section("Commands", command.children, command.children[0].group);
  text += flags_section("Flags", command.flags);
  if (!command.examples.empty()) text += "\nExamples:\n" + example_lines(command.examples, program);
  return text + fmt::format("\nFlags of every command: {} --help\n", program);
}

std::string root_help(const std::vector<Command>& table, const std::vector<Flag>& globals,
                      const std::string& program) {
  std::string text = fmt::format(
      "Package, push, pull and run AI models as OCI artifacts\n\nUsage: {} [FLAGS] COMMAND\n",
      program);
  for (const auto& [group, title] : kGroups) text += commands_section(title, table, group);
  text += flags_section("Flags of every command", globals);
  return text + fmt::format("\nMore about a command: {} COMMAND --help\n", program);
}

}  // namespace berth::cli
