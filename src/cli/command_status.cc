// What the server says about itself: status, logs, requests.
#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/table.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct StatusOptions {
  Format format;
};
struct Logs {
  bool follow = false;
  bool no_engines = false;
};
struct Requests {
  std::string model;
  bool follow = false;
  bool include_existing = false;
};

// Running, Error, Not Installed, Installing.
int rank(const control::BackendStatus& backend) {
  constexpr std::array<std::string_view, 4> kOrder = {"Running", "Error", "Not Installed",
                                                      "Installing"};
  return static_cast<int>(std::ranges::find(kOrder, backend.state) - kOrder.begin());
}

std::string backends_table(std::vector<control::BackendStatus> backends) {
  std::ranges::sort(backends, {},
                    [](const control::BackendStatus& b) { return std::pair(rank(b), b.name); });
  Table table({"BACKEND", "STATUS", "DETAILS"});
  for (const control::BackendStatus& backend : backends)
    table.row({backend.name, backend.state, backend.details});
  return table.text();
}

void print_status(Context& context, const control::StatusReport& report) {
  Output& output = context.output;
  if (report.running) {
    output.print("Berth is running at {}\n", listening_text(report));
  } else {
    output.print(
        "Berth is not running as a server; models run in the command that asks for them\n");
  }
  output.print("\n{}", backends_table(report.backends));
  if (!report.sandbox.empty()) {
    Table table({"SANDBOX", "STATE"});
    for (const auto& [part, state] : report.sandbox) table.row({part, state});
    output.print("\n{}", table.text());
  }
  if (!report.store.empty()) output.print("\nStore: {}\n", printable(report.store));
  if (!report.running) output.note("start a server with: {} start-runner", context.program);
}

rt::Task<Result<int>> status(Context& context, StatusOptions& options) {
  CO_TRY(const control::StatusReport report, co_await context.services->system.status(context.op));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(report));
    co_return kExitOk;
  }
  print_status(context, report);
  co_return report.running ? kExitOk : kExitNo;
}

rt::Task<Result<int>> logs(Context& context, Logs& options) {
  CO_TRY(const auto reader,
         co_await context.services->system.logs(context.op, options.follow, !options.no_engines));
  CO_TRY_OK(co_await copy_to_output(context, *reader, context.output.out.terminal()));
  co_return 0;
}

rt::Task<Result<int>> requests(Context& context, Requests& options) {
  if (options.include_existing && !options.follow)
    co_return fail(Code::kInvalid, "--include-existing needs --follow");
  CO_TRY(const auto reader,
         co_await context.services->system.requests(context.op, options.model, options.follow,
                                                    options.include_existing));
  CO_TRY_OK(co_await copy_to_output(context, *reader, context.output.out.terminal()));
  co_return 0;
}

}  // namespace

Command status_command() {
  auto o = std::make_shared<StatusOptions>();
  return {.name = "status",
          .summary = "Show whether a server runs, its engines and the sandbox",
          .details = "Ends with 1 when no server runs (not with --json).",
          .examples = "berth status\nberth status --json",
          .group = Group::kServer,
          .flags = with_format(o->format),
          .run = bound(o, status)};
}

Command logs_command() {
  auto o = std::make_shared<Logs>();
  return {
      .name = "logs",
      .summary = "Show the server's log",
      .examples = "berth logs --follow",
      .group = Group::kServer,
      .flags =
          {{.name = "follow", .letter = 'f', .help = "Go on as lines come", .target = &o->follow},
           {.name = "no-engines", .help = "Without the engines' lines", .target = &o->no_engines}},
      .run = bound(o, logs)};
}

Command requests_command() {
  auto o = std::make_shared<Requests>();
  return {.name = "requests",
          .summary = "Show recorded prompts and answers",
          .details = "Nothing is recorded unless the server was started with --record-requests.",
          .examples = "berth requests --model smollm2\nberth requests --follow --include-existing",
          .group = Group::kServer,
          .flags = {{.name = "follow",
                     .letter = 'f',
                     .help = "Go on as requests come",
                     .target = &o->follow},
                    {.name = "include-existing",
                     .help = "With --follow: first those recorded so far",
                     .target = &o->include_existing},
                    {.name = "model",
                     .value = "MODEL",
                     .help = "Only of this model",
                     .target = &o->model,
                     .completes = Completes::kModel}},
          .run = bound(o, requests)};
}

}  // namespace berth::cli
