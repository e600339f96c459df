#include "cli/format.h"

#include <algorithm>

#include "base/text.h"
#include "cli/names.h"

namespace berth::cli {

std::vector<Flag> with_format(Format& format, std::vector<Flag> flags) {
  flags.push_back({.name = "format",
                   .value = "FORMAT",
                   .help = "Output format",
                   .target = &format.word,
                   .choices = {"table", "json"}});
  flags.push_back({.name = "json", .help = "The same as --format json", .target = &format.json});
  return flags;
}

void print_json(Output& output, const json::Value& value) { output.out.write(json::pretty(value)); }

Error with_hints(Context& context, Error error, const std::string& model, WhenAbsent absent) {
  const auto hint = [&](std::string_view known, std::string text) {
    if (error.message().find(known) == std::string::npos) context.hints.push_back(std::move(text));
  };
  if (error.code() == Code::kNotFound && absent == WhenAbsent::kPull) {
    hint("berth pull", fmt::format("pull it with: {} pull {}", context.program, model));
  } else if (error.code() == Code::kNotFound && absent == WhenAbsent::kList) {
    hint("berth list", fmt::format("see what is here with: {} list", context.program));
  } else if (error.code() == Code::kUnauthenticated) {
    hint("berth login", fmt::format("log in with: {} login {}", context.program,
                                    registry_of(model, context.names)));
  }
  return error;
}

std::string listening_text(const control::StatusReport& report) {
  std::string text = printable(report.endpoint, 300);
  // A server elsewhere is known by the name that it was called by, not by its own addresses.
  const auto& all = report.endpoints;
  if (std::ranges::find(all, report.endpoint) == all.end()) return text;
  for (const std::string& endpoint : all) {
    if (endpoint != report.endpoint) text += " and " + printable(endpoint, 300);
  }
  return text;
}

rt::Task<Result<bool>> confirm(Context& context, std::string question, std::string flag) {
  if (!context.input.terminal()) {
    co_return fail(
        Code::kInvalid,
        "nobody can be asked whether to go on, since standard input is not a terminal; give {}",
        flag);
  }
  while (true) {
    context.output.err.write(question + " [y/N] ");
    context.output.err.flush();
    CO_TRY(const auto line, co_await context.input.read_line(context.loop, context.op));
    const std::string answer = to_lower(trim(line.value_or("")));
    if (answer == "y" || answer == "yes") co_return true;
    if (answer.empty() || answer == "n" || answer == "no") co_return false;
  }
}

rt::Task<Status> copy_to_output(Context& context, rt::Reader& reader, bool filter) {
  TerminalFilter safe;
  std::vector<std::byte> block(64 * 1024);
  while (true) {
    CO_TRY(const std::size_t n, co_await reader.read(context.op, block));
    if (n == 0) break;
    const std::string_view text = as_text(std::span(block).first(n));
    context.output.out.write(filter ? safe(text) : text);
    context.output.out.flush();
    CO_TRY_OK(context.output.out.status());
  }
  if (filter) context.output.out.write(safe.finish());
  co_return Status();
}

}  // namespace berth::cli
