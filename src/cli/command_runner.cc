// The engine and the background server: what Docker Model Runner calls the runner.
#include "base/text.h"
#include "cli/background.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/server_flags.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

constexpr auto kStartBound = std::chrono::seconds(20);
constexpr auto kStopBound = std::chrono::seconds(60);
constexpr auto kPoll = std::chrono::milliseconds(50);

// DMR's flags of a runner container that mean nothing to an engine without one.
struct ContainerFlags {
  std::optional<std::uint64_t> port;
  std::string host;
  std::string gpu;
  bool do_not_track = false;
};

struct Install {
  std::string backend = "llama.cpp";
  std::string version;
  std::string from;
  std::string progress = "auto";
  ContainerFlags container;
};
struct Uninstall {
  std::string backend = "llama.cpp";
  bool models = false;
  bool images = false;
};
struct Start {
  ServerFlags server;
  std::string host;
  bool do_not_track = false;
};
struct Stop {
  bool models = false;
};

std::vector<Flag> container_flags(ContainerFlags& o) {
  return {{.name = "port",
           .value = "PORT",
           .help = "A flag of start-runner",
           .target = &o.port,
           .hidden = true},
          {.name = "host",
           .value = "HOST",
           .help = "A flag of start-runner",
           .target = &o.host,
           .hidden = true},
          {.name = "gpu",
           .value = "KIND",
           .help = "A flag of start-runner",
           .target = &o.gpu,
           .hidden = true},
          {.name = "do-not-track",
           .help = "Berth sends nothing home",
           .target = &o.do_not_track,
           .hidden = true}};
}

Status refuse_container(const ContainerFlags& flags) {
  if (!flags.port && flags.host.empty() && flags.gpu.empty()) return {};
  return fail(Code::kUnsupported,
              "this installs an engine and starts no server; give --port, --host and --gpu to "
              "start-runner");
}

rt::Task<Result<int>> install(Context& context, Install& options) {
  CO_TRY_OK(refuse_container(options.container));
  control::InstallRequest request{
      .backend = options.backend, .from = options.from, .version = options.version};
  Progress progress(context, "Downloaded", progress_mode(options.progress, context.output));
  auto installed =
      co_await context.services->machine.install_runner(context.op, std::move(request), progress);
  co_await progress.finish();
  CO_TRY(const std::string version, std::move(installed));
  // The engine's version names it already.
  const bool named = version.starts_with(options.backend);
  context.output.print("Installed {}{}\n", named ? "" : printable(options.backend) + " ",
                       printable(version));
  co_return 0;
}

rt::Task<Result<int>> uninstall(Context& context, Uninstall& options) {
  CO_TRY(const bool removed,
         co_await context.services->machine.uninstall_runner(context.op, options.backend));
  context.output.print("{} {}\n", printable(options.backend),
                       removed ? "was uninstalled" : "was not installed by Berth");
  if (options.models) {
    CO_TRY(const control::RemoveResult result, co_await context.services->models.purge(context.op));
    context.output.note("Freed {}", format_size(result.freed));
  }
  co_return 0;
}

rt::Task<Result<int>> reinstall(Context& context, Install& options) {
  CO_TRY_OK(refuse_container(options.container));
  CO_TRY_OK(co_await context.services->machine.uninstall_runner(context.op, options.backend));
  co_return co_await install(context, options);
}

Result<std::string> folder_of(const Context& context) {
  const std::string folder =
      context.environment.data_dir ? context.environment.data_dir(context.globals) : "";
  if (folder.empty())
    return fail(Code::kUnsupported,
                "there is no folder to keep the server's log in; set HOME or BERTH_HOME");
  return folder;
}

rt::Task<Status> wait_until_gone(Context& context, int pid) {
  rt::Op waiting(context.op, std::chrono::steady_clock::now() + kStopBound);
  while (co_await rt::blocking(context.loop, [pid] { return background_runs(pid); })) {
    if (const Status slept = co_await rt::sleep_for(waiting, kPoll); !slept) {
      CO_TRY_OK(context.op.check());
      co_return fail(Code::kTimeout, "the server (process {}) did not stop within {}", pid,
                     format_duration(kStopBound));
    }
  }
  co_return Status();
}

// Asked anew each time: what was connected before the server came does not know of it.
rt::Task<Result<control::StatusReport>> ask_status(Context& context) {
  CO_TRY(const auto backend, context.environment.connect(context.loop, context.globals));
  auto report = co_await backend->services().system.status(context.op);
  CO_TRY_OK(co_await backend->close(context.op));
  co_return report;
}

// Up means that it answers.
rt::Task<Result<control::StatusReport>> wait_until_up(Context& context, int pid,
                                                      std::string folder) {
  rt::Op waiting(context.op, std::chrono::steady_clock::now() + kStartBound);
  while (true) {
    auto report = co_await ask_status(context);
    if (report && report->running) co_return report;
    if (!co_await rt::blocking(context.loop, [pid] { return background_runs(pid); })) {
      co_return fail(Code::kUnavailable, "the server ended at once; its log says why: {}",
                     background_log(folder));
    }
    if (const Status slept = co_await rt::sleep_for(waiting, kPoll); !slept) {
      CO_TRY_OK(context.op.check());
      co_return fail(Code::kTimeout, "the server does not answer after {}; see {}",
                     format_duration(kStartBound), background_log(folder));
    }
  }
}

// `before`: the words of the server that this one replaces.
rt::Task<Status> launch(Context& context, Start& options, std::vector<std::string> before) {
  if (!options.host.empty()) {
    options.server.listen.push_back(
        fmt::format("{}:{}", options.host, options.server.port.value_or(12434)));
    options.server.port.reset();
  }
  CO_TRY(ServeOptions serve, serve_options(options.server, context.globals));
  CO_TRY(const std::string folder, folder_of(context));
  const std::vector<std::string> words = merge_server_words(before, server_words(serve));
  CO_TRY(const int pid,
         co_await rt::blocking(context.loop, [&] { return start_background(folder, words); }));
  CO_TRY(const control::StatusReport report, co_await wait_until_up(context, pid, folder));
  context.output.print("Berth is running at {} (process {})\n", listening_text(report), pid);
  co_return Status();
}

// Stops the server in the background; the words that it had been started with, none when there was
// no such server.
rt::Task<Result<std::vector<std::string>>> halt(Context& context) {
  CO_TRY(const std::string folder, folder_of(context));
  CO_TRY(const std::optional<int> pid,
         co_await rt::blocking(context.loop, [&] { return find_background(folder); }));
  if (!pid) co_return std::vector<std::string>();
  std::vector<std::string> words =
      co_await rt::blocking(context.loop, [&] { return background_words(*pid); });
  CO_TRY_OK(co_await rt::blocking(context.loop, [&] { return stop_background(*pid); }));
  CO_TRY_OK(co_await wait_until_gone(context, *pid));
  co_return words;
}

rt::Task<Result<int>> start_after(Context& context, Start& options,
                                  std::vector<std::string> before) {
  const auto report = co_await ask_status(context);
  // One that cannot be reached is one to start.
  if (!report && report.error().code() != Code::kUnavailable)
    co_return std::unexpected(report.error());
  if (report && report->running) {
    context.output.print("Berth is running already at {}\n", listening_text(*report));
    co_return 0;
  }
  CO_TRY_OK(co_await launch(context, options, std::move(before)));
  co_return 0;
}

rt::Task<Result<int>> start(Context& context, Start& options) {
  co_return co_await start_after(context, options, {});
}

rt::Task<Result<int>> stop(Context& context, Stop& options) {
  CO_TRY(const std::vector<std::string> stopped, co_await halt(context));
  context.output.print("{}\n", stopped.empty() ? "No server that start-runner started is running."
                                               : "The server was stopped.");
  if (options.models) {
    CO_TRY(const control::RemoveResult result, co_await context.services->models.purge(context.op));
    context.output.note("Freed {}", format_size(result.freed));
  }
  co_return 0;
}

rt::Task<Result<int>> restart(Context& context, Start& options) {
  CO_TRY(std::vector<std::string> before, co_await halt(context));
  co_return co_await start_after(context, options, std::move(before));
}

std::vector<Flag> install_flags(Install& o) {
  std::vector<Flag> flags{
      {.name = "backend", .value = "BACKEND", .help = "Which engine", .target = &o.backend},
      {.name = "llama-server-version",
       .value = "VERSION",
       .help = "Version of llama.cpp (default: the current one)",
       .target = &o.version},
      {.name = "from",
       .value = "IMAGE",
       .help = "Take it from an OCI image instead of the Debian packages",
       .target = &o.from},
      progress_flag(o.progress)};
  for (Flag& flag : container_flags(o.container)) flags.push_back(std::move(flag));
  return flags;
}

std::vector<Flag> start_flags(Start& o) {
  std::vector<Flag> flags = server_flags(o.server);
  flags.push_back({.name = "host",
                   .value = "ADDRESS",
                   .help = "Address to listen on, with --port (default port: 12434)",
                   .target = &o.host});
  flags.push_back({.name = "do-not-track",
                   .help = "Berth sends nothing home",
                   .target = &o.do_not_track,
                   .hidden = true});
  return flags;
}

template <class Options>
Command runner(std::string_view name, std::string_view summary, std::string_view examples,
               std::vector<Flag> flags, std::shared_ptr<Options> options,
               rt::Task<Result<int>> (*run)(Context&, Options&), Needs needs = Needs::kServices) {
  return {.name = name,
          .summary = summary,
          .examples = examples,
          .group = Group::kServer,
          .needs = needs,
          .flags = std::move(flags),
          .run = bound(std::move(options), run)};
}

}  // namespace

Command install_runner_command() {
  auto o = std::make_shared<Install>();
  Command command =
      runner("install-runner", "Install the inference engine",
             "berth install-runner\nberth install-runner ghcr.io/ggml-org/llama.cpp:server",
             install_flags(*o), o, install);
  command.details =
      "Without a name: llama.cpp from Debian's packages. With one: the llama-server of that "
      "container image,\n"
      "which is pulled, tried in the sandbox and only then put into use.";
  command.arguments = {{.name = "IMAGE", .count = Argument::Count::kOptional, .target = &o->from}};
  return command;
}

Command reinstall_runner_command() {
  auto o = std::make_shared<Install>();
  return runner("reinstall-runner", "Install the inference engine anew", "berth reinstall-runner",
                install_flags(*o), o, reinstall);
}

Command uninstall_runner_command() {
  auto o = std::make_shared<Uninstall>();
  return runner(
      "uninstall-runner", "Remove the inference engine that Berth installed",
      "berth uninstall-runner",
      {{.name = "backend", .value = "BACKEND", .help = "Which engine", .target = &o->backend},
       {.name = "models", .help = "Remove every model as well", .target = &o->models},
       {.name = "images",
        .help = "Nothing to do: Berth keeps no images",
        .target = &o->images,
        .hidden = true}},
      o, uninstall);
}

Command start_runner_command() {
  auto o = std::make_shared<Start>();
  return runner("start-runner", "Start a server in the background",
                "berth start-runner\nberth start-runner --port 12434", start_flags(*o), o, start,
                Needs::kLoop);
}

Command stop_runner_command() {
  auto o = std::make_shared<Stop>();
  return runner("stop-runner", "Stop the server in the background", "berth stop-runner",
                {{.name = "models", .help = "Remove every model as well", .target = &o->models}}, o,
                stop);
}

Command restart_runner_command() {
  auto o = std::make_shared<Start>();
  return runner("restart-runner", "Stop the server in the background and start it anew",
                "berth restart-runner --port 12434", start_flags(*o), o, restart, Needs::kLoop);
}

}  // namespace berth::cli
