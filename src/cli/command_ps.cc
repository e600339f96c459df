// What runs and what it costs: ps, df, unload.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/table.h"
#include "control/json.h"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;

constexpr auto kDefaultKeepAlive = std::chrono::minutes(5);

struct Listing {
  Format format;
  bool quiet = false;
};
struct Unload {
  std::vector<std::string> models;
  std::string backend;
  bool all = false;
};

// "Loading...", "Forever", "4m 10s from now", "Expiring".
std::string until(const control::RunningModel& running, control::Time now) {
  if (running.loading) return "Loading...";
  const milliseconds keep = running.keep_alive.value_or(kDefaultKeepAlive);
  if (keep.count() < 0) return "Forever";
  milliseconds left = keep;
  if (running.expires) {
    left = *running.expires - now;
  } else if (!running.in_use && running.last_used) {
    left = *running.last_used + keep - now;
  }
  if (running.in_use) left = keep;
  if (left.count() <= 0) return "Expiring";
  return format_duration(left) + " from now";
}

std::string device_of(const control::RunningModel& running) {
  if (running.device.empty()) return "";
  if (!running.gpu_layers || *running.gpu_layers == 0) return running.device;
  return fmt::format("{}, {} layers", running.device, *running.gpu_layers);
}

rt::Task<Result<int>> ps(Context& context, Listing& options) {
  CO_TRY(const auto running, co_await context.services->runs.ps(context.op));
  if (options.format.is_json()) {
    print_json(context.output, json_array(running, [](const control::RunningModel& one) {
                 return control::to_json(one);
               }));
    co_return 0;
  }
  Table table({"MODEL NAME", "BACKEND", "MODE", "UNTIL", "DEVICE", "MEMORY"});
  for (const control::RunningModel& one : running) {
    const std::string name = familiar_name(one.model, context.names);
    if (options.quiet) context.output.print("{}\n", printable(name));
    table.row({name, one.backend, one.mode, until(one, context.now), device_of(one),
               one.memory ? format_size(*one.memory) : ""});
  }
  if (!options.quiet) context.output.out.write(table.text());
  co_return 0;
}

rt::Task<Result<int>> df(Context& context, Listing& options) {
  CO_TRY(const control::DiskUsage usage, co_await context.services->system.df(context.op));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(usage));
    co_return 0;
  }
  Table table({"TYPE", "SIZE"});
  table.row({"Models", format_size(usage.models)});
  if (usage.engines != 0) table.row({"Inference engine", format_size(usage.engines)});
  if (usage.unfinished != 0) table.row({"Unfinished downloads", format_size(usage.unfinished)});
  if (usage.catalogue != 0) table.row({"Catalogue", format_size(usage.catalogue)});
  if (usage.reclaimable != 0) table.row({"Reclaimable (prune)", format_size(usage.reclaimable)});
  context.output.out.write(table.text());
  co_return 0;
}

rt::Task<Result<int>> unload(Context& context, Unload& options) {
  if (options.all != options.models.empty()) {
    co_return fail(Code::kInvalid, "{}",
                   options.all ? "--all takes no MODEL: it unloads every one"
                               : "name a MODEL to unload, or give --all");
  }
  control::UnloadRequest request{
      .all = options.all, .backend = options.backend, .models = options.models};
  CO_TRY(const std::uint64_t count,
         co_await context.services->runs.unload(context.op, std::move(request)));
  if (count > 0) {
    context.output.print("Unloaded {} model(s).\n", count);
  } else {
    context.output.print("{}\n",
                         options.all ? "No models are running." : "No such model(s) running.");
  }
  co_return 0;
}

}  // namespace

Command ps_command() {
  auto o = std::make_shared<Listing>();
  return {.name = "ps",
          .summary = "List running models",
          .examples = "berth ps",
          .group = Group::kRunning,
          .flags = with_format(
              o->format,
              {{.name = "quiet", .letter = 'q', .help = "Only show names", .target = &o->quiet}}),
          .run = bound(o, ps)};
}

Command df_command() {
  auto o = std::make_shared<Listing>();
  return {.name = "df",
          .summary = "Show disk usage",
          .examples = "berth df",
          .group = Group::kMachine,
          .flags = with_format(o->format),
          .run = bound(o, df)};
}

Command unload_command() {
  auto o = std::make_shared<Unload>();
  return {.name = "unload",
          .aliases = {"stop"},
          .summary = "Unload running models",
          .examples = "berth unload smollm2\nberth unload --all",
          .group = Group::kRunning,
          .arguments = {{.name = "MODEL",
                         .count = Argument::Count::kAny,
                         .target = &o->models,
                         .completes = Completes::kModel}},
          .flags = {{.name = "all", .help = "Unload every model", .target = &o->all},
                    {.name = "backend",
                     .value = "BACKEND",
                     .help = "Only of this backend",
                     .target = &o->backend}},
          .run = bound(o, unload)};
}

}  // namespace berth::cli
