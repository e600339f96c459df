// What takes content away: rm, purge, prune. Each says what it freed.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/names.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct Remove {
  std::vector<std::string> models;
  Format format;
  bool force = false;
};
struct Purge {
  bool force = false;
};
struct Prune {
  Format format;
  bool dry_run = false;
  bool quiet = false;
};

void print_removed(Output& output, const control::RemoveResult& result) {
  for (const control::Removed& one : result.removed)
    output.print("{}: {}\n", printable(one.kind), printable(one.what));
}

// Goes on after a failure; each is told, and the first one decides the status.
rt::Task<Result<int>> remove(Context& context, Remove& options) {
  control::RemoveResult all;
  std::optional<Code> first;
  for (const std::string& model : options.models) {
    const auto removed = co_await context.services->models.remove(context.op, model, options.force);
    CO_TRY_OK(context.op.check());
    if (!removed) {
      context.output.alert("berth: {}", printable(removed.error().message(), 4096));
      if (!first) first = removed.error().code();
      continue;
    }
    if (!options.format.is_json()) print_removed(context.output, *removed);
    all.removed.insert(all.removed.end(), removed->removed.begin(), removed->removed.end());
    all.freed += removed->freed;
  }
  if (options.format.is_json()) print_json(context.output, control::to_json(all));
  if (!all.removed.empty()) context.output.note("Freed {}", format_size(all.freed));
  if (first == Code::kNotFound)
    context.output.note("see what is here with: {} list", context.program);
  co_return first ? exit_status(*first) : kExitOk;
}

rt::Task<Result<int>> purge(Context& context, Purge& options) {
  if (!options.force) {
    CO_TRY(
        const bool yes,
        co_await confirm(context, "This removes every model from this machine. Go on?", "--force"));
    if (!yes) co_return fail(Code::kCancelled, "nothing was removed");
  }
  CO_TRY(const control::RemoveResult result, co_await context.services->models.purge(context.op));
  print_removed(context.output, result);
  context.output.note("Freed {}", format_size(result.freed));
  co_return 0;
}

rt::Task<Result<int>> prune(Context& context, Prune& options) {
  context.output.quiet = options.quiet;
  CO_TRY(const control::PruneResult result,
         co_await context.services->models.prune(context.op, options.dry_run));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(result));
    co_return 0;
  }
  for (const std::string& digest : result.blobs) context.output.print("{}\n", printable(digest));
  for (const std::string& ingest : result.ingests)
    context.output.print("unfinished download {}\n", printable(ingest));
  context.output.note("{} {}", options.dry_run ? "Would free" : "Freed", format_size(result.freed));
  co_return 0;
}

}  // namespace

Command rm_command() {
  auto o = std::make_shared<Remove>();
  return {.name = "rm",
          .summary = "Remove models from this machine",
          .details =
              "A tag is taken off; with its last tag the model goes. A model that runs, or an id "
              "with several tags, needs --force.",
          .examples = "berth rm smollm2\nberth rm --force 354bf30d0aa3",
          .arguments = {{.name = "MODEL",
                         .count = Argument::Count::kSome,
                         .target = &o->models,
                         .completes = Completes::kModel}},
          .flags = with_format(o->format, {{.name = "force",
                                            .letter = 'f',
                                            .help = "Also when it runs or has several tags",
                                            .target = &o->force}}),
          .run = bound(o, remove)};
}

Command purge_command() {
  auto o = std::make_shared<Purge>();
  return {.name = "purge",
          .summary = "Remove every model from this machine",
          .examples = "berth purge --force",
          .flags = {{.name = "force", .letter = 'f', .help = "Do not ask", .target = &o->force}},
          .run = bound(o, purge)};
}

Command prune_command() {
  auto o = std::make_shared<Prune>();
  return {
      .name = "prune",
      .summary = "Free what no model needs: left-over blobs, unfinished downloads",
      .examples = "berth prune --dry-run\nberth prune",
      .flags = with_format(
          o->format, {{.name = "dry-run", .help = "Only say what would go", .target = &o->dry_run},
                      {.name = "quiet",
                       .letter = 'q',
                       .help = "Do not say how much was freed",
                       .target = &o->quiet}}),
      .run = bound(o, prune)};
}

}  // namespace berth::cli
