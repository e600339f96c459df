// The care of a registry of Berth's: prune, events.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

struct Options {
  std::string registry = "127.0.0.1:5000";
  Format format;
};
struct PruneOptions : Options {
  std::vector<std::string> rules;
  bool dry_run = false;
};
struct EventOptions : Options {
  std::string endpoint;
  bool retry = false;
};

std::vector<Flag> flags_of(Options& options, std::vector<Flag> flags) {
  flags.insert(flags.begin(), {.name = "registry",
                               .value = "HOST",
                               .help = "The registry to ask (127.0.0.1:5000)",
                               .target = &options.registry});
  return with_format(options.format, std::move(flags));
}

rt::Task<Result<int>> prune(Context& context, PruneOptions& options) {
  CO_TRY(const auto pruned,
         co_await context.services->registries.prune(
             context.op, options.registry, {.rules = options.rules, .dry_run = options.dry_run}));
  if (options.format.is_json()) {
    print_json(context.output, json_array(pruned, [](const control::RegistryPruned& one) {
                 return control::to_json(one);
               }));
    co_return 0;
  }
  if (pruned.empty()) {
    context.output.print("Nothing to prune\n");
    co_return 0;
  }
  Table table({"REPOSITORY", "TAG", "MANIFEST", "WHY"});
  for (const control::RegistryPruned& one : pruned)
    table.row({one.repository, one.tag.empty() ? "-" : one.tag, short_id(one.digest), one.why});
  context.output.out.write(table.text());
  context.output.print("{} {} tags and manifests{}\n", options.dry_run ? "Would remove" : "Removed",
                       pruned.size(),
                       options.dry_run ? "" : "; berth registry gc frees what they held");
  co_return 0;
}

std::string name_of(const control::RegistryDeadLetter& letter) {
  if (!letter.tag.empty()) return fmt::format("{}:{}", letter.repository, letter.tag);
  return fmt::format("{}@{}", letter.repository, short_id(letter.digest));
}

rt::Task<Result<int>> events(Context& context, EventOptions& options) {
  if (options.retry) {
    CO_TRY(const std::uint64_t revived, co_await context.services->registries.revive(
                                            context.op, options.registry, options.endpoint));
    if (options.format.is_json()) {
      print_json(context.output, json::Object{{"revived", revived}});
    } else {
      context.output.print("{} events are sent again\n", revived);
    }
    co_return 0;
  }
  CO_TRY(auto found, co_await context.services->registries.events(context.op, options.registry));
  if (!options.endpoint.empty()) {
    std::erase_if(found.endpoints, [&](const auto& one) { return one.name != options.endpoint; });
    std::erase_if(found.dead_letters,
                  [&](const auto& one) { return one.endpoint != options.endpoint; });
  }
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(found));
    co_return 0;
  }
  Table endpoints({"ENDPOINT", "WAITING", "DEAD"});
  for (const control::RegistryEndpoint& one : found.endpoints)
    endpoints.row({one.name, fmt::to_string(one.waiting), fmt::to_string(one.dead)});
  context.output.out.write(endpoints.text());
  if (found.dead_letters.empty()) co_return 0;
  Table letters({"ENDPOINT", "EVENT", "NAME", "WHEN", "ATTEMPTS", "FAULT"});
  for (const control::RegistryDeadLetter& letter : found.dead_letters) {
    letters.row({letter.endpoint, letter.event, name_of(letter), format_rfc3339(letter.at),
                 fmt::to_string(letter.attempts), letter.fault});
  }
  context.output.print("\n");
  context.output.out.write(letters.text());
  co_return 0;
}

Command prune_tags() {
  auto o = std::make_shared<PruneOptions>();
  return {
      .name = "prune",
      .summary = "Remove tags and manifests of a registry by retention rules",
      .details =
          "Without --rule the registry's own rules (registry_server.retention) are used. A rule is "
          "a "
          "pattern of repositories and conditions that must all hold: tags=GLOB, keep=N (all but "
          "the N newest), older=TIME, unpulled=TIME, untagged=TIME (manifests without a tag).",
      .examples =
          "berth registry prune --dry-run\n"
          "berth registry prune --rule \"ci/** tags=pr-* keep=20 older=30d\"",
      .group = Group::kServer,
      .flags = flags_of(*o, {{.name = "rule",
                              .value = "RULE",
                              .help = "A retention rule instead of the registry's; may be repeated",
                              .target = &o->rules},
                             {.name = "dry-run",
                              .help = "Only say what would be removed, and why",
                              .target = &o->dry_run}}),
      .run = bound(o, prune)};
}

Command show_events() {
  auto o = std::make_shared<EventOptions>();
  return {.name = "events",
          .summary = "Show what the webhooks of a registry have not taken, and send it again",
          .examples = "berth registry events\nberth registry events --retry audit",
          .group = Group::kServer,
          .arguments = {{.name = "ENDPOINT",
                         .count = Argument::Count::kOptional,
                         .target = &o->endpoint}},
          .flags = flags_of(*o, {{.name = "retry",
                                  .help = "Put the dead letters back into their queue",
                                  .target = &o->retry}}),
          .run = bound(o, events)};
}

}  // namespace

std::vector<Command> registry_care_commands() { return {prune_tags(), show_events()}; }

}  // namespace berth::cli
