// Man pages, in the man(7) macros.
#include "base/text.h"
#include "cli/help.h"

namespace berth::cli {
namespace {

// What troff would read as a request or an escape.
std::string troff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out.push_back(c);
    }
    line_start = c == '\n';
  }
  return out;
}

std::string header(const std::string& title, std::string_view summary) {
  return fmt::format(".TH \"{}\" 1 \"\" \"Berth {}\" \"Berth\"\n.SH NAME\n{} \\- {}\n",
                     troff(to_lower(title)), BERTH_VERSION, troff(title), troff(summary));
}

std::string flag_items(const std::vector<Flag>& flags) {
  std::string text;
  for (const Flag& flag : flags) {
    if (flag.hidden) continue;
    text += ".TP\n";
    const std::string letter = flag.letter != 0 ? fmt::format("\\fB\\-{}\\fR, ", flag.letter) : "";
    const std::string value =
        flag.value.empty() ? "" : fmt::format(" \\fI{}\\fR", troff(flag.value));
    text += fmt::format("{}\\fB\\-\\-{}\\fR{}\n{}\n", letter, troff(flag.name), value,
                        troff(flag.help));
    if (!flag.choices.empty())
      text += troff(fmt::format("One of: {}.", fmt::join(flag.choices, ", "))) + "\n";
  }
  return text;
}

std::string paragraphs(std::string_view text) {
  std::string out;
  for (const std::string& line : split(text, '\n'))
    out += line.empty() ? ".PP\n" : troff(line) + "\n";
  return out;
}

std::string verbatim(std::string_view text) { return ".nf\n" + troff(trim(text)) + "\n.fi\n"; }

void add_page(std::vector<ManPage>& pages, const Command& command, const std::string& path) {
  std::string name = "berth-" + path;
  std::ranges::replace(name, ' ', '-');
  std::string text = header(name, command.summary);
  text += ".SH SYNOPSIS\n" + verbatim(usage_line(command, path, "berth"));
  if (!command.details.empty()) text += ".SH DESCRIPTION\n" + paragraphs(command.details);
  if (!command.flags.empty()) text += ".SH OPTIONS\n" + flag_items(command.flags);
  if (!command.examples.empty()) text += ".SH EXAMPLES\n" + verbatim(command.examples);
  text += ".SH SEE ALSO\n.BR berth (1)\n";
  pages.push_back({name + ".1", std::move(text)});
  for (const Command& child : command.children)
    add_page(pages, child, path + " " + std::string(child.name));
}

std::string root_page(const std::vector<Command>& table, const std::vector<Flag>& globals) {
  std::string text = header("berth", "package, push, pull and run AI models as OCI artifacts");
  text += ".SH SYNOPSIS\n" + verbatim("berth [FLAGS] COMMAND");
  text += ".SH COMMANDS\n";
  for (const Command& command : table) {
    if (command.group == Group::kHidden) continue;
    text += fmt::format(".TP\n\\fBberth\\-{}\\fR(1)\n{}\n", troff(command.name),
                        troff(command.summary));
  }
  text += ".SH OPTIONS\n" + flag_items(globals);
  text +=
      ".SH ENVIRONMENT\n.TP\nBERTH_HOME\nThe folder that holds everything of Berth, as "
      "\\-\\-store.\n"
      ".TP\nMODEL_RUNNER_HOST\nThe server to use, as \\-\\-host.\n"
      ".TP\nDEFAULT_REGISTRY\nThe registry of names without one (docker.io).\n"
      ".TP\nNO_COLOR\nNo colour when set.\n"
      ".TP\nBERTH_NOHISTORY\nNo chat history is kept when set.\n";
  return text;
}

}  // namespace

std::vector<ManPage> man_pages(const std::vector<Command>& table,
                               const std::vector<Flag>& globals) {
  std::vector<ManPage> pages{{"berth.1", root_page(table, globals)}};
  for (const Command& command : table) {
    if (command.group != Group::kHidden) add_page(pages, command, std::string(command.name));
  }
  return pages;
}

}  // namespace berth::cli
