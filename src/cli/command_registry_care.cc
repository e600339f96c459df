// The care of a registry of Berth's: prune, verify, events.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/progress.h"
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
struct VerifyOptions : Options {
  std::string repository;
  std::string progress = "auto";
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

std::string needed_by(const control::RegistryDamage& damage) {
  std::vector<std::string> names;
  for (const control::RegistryDamage::Hurt& hurt : damage.repositories) {
    if (hurt.tags.empty()) names.push_back(hurt.repository);
    for (const std::string& tag : hurt.tags) names.push_back(hurt.repository + ":" + tag);
  }
  return names.empty() ? "-" : fmt::format("{}", fmt::join(names, ", "));
}

void print_verified(Context& context, const control::RegistryVerification& seen) {
  if (!seen.damages.empty()) {
    Table table({"DIGEST", "FAULT", "SIZE", "NEEDED BY"});
    for (const control::RegistryDamage& damage : seen.damages)
      table.row({damage.digest, damage.fault, format_size(damage.size), needed_by(damage)});
    context.output.out.write(table.text());
  }
  context.output.print(
      "Verified {} blobs, {}: {}\n", seen.checked, format_size(seen.checked_bytes),
      seen.damaged == 0 ? "nothing is damaged" : fmt::format("{} damaged", seen.damaged));
  if (seen.damaged > seen.damages.size()) {
    context.output.note("these are the first {}; the registry's log names all",
                        seen.damages.size());
  }
  if (seen.damaged > 0) {
    context.output.note(
        "push what is damaged or missing again: it is out of service until then; what is "
        "unreadable "
        "needs another look at the disk");
  }
}

rt::Task<Result<int>> verify(Context& context, VerifyOptions& options) {
  Progress progress(context, "Verified", progress_mode(options.progress, context.output));
  auto verified = co_await context.services->registries.verify(context.op, options.registry,
                                                               options.repository, progress);
  co_await progress.finish();
  CO_TRY(const control::RegistryVerification seen, std::move(verified));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(seen));
  } else {
    print_verified(context, seen);
  }
  co_return seen.damaged == 0 ? kExitOk : exit_status(Code::kCorrupt);
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

Command verify_blobs() {
  auto o = std::make_shared<VerifyOptions>();
  return {
      .name = "verify",
      .summary = "Have a registry read what it stores and compare it with its digests",
      .details =
          "The registry goes on serving, and goes on verifying when this command is interrupted. "
          "A damaged blob is out of service from then on: its file is kept in the folder damaged "
          "of the registry, and pushing the blob again brings it back for all repositories. What "
          "cannot be read is told and stays where it is.\n"
          "Ends with 0 when nothing is damaged, else with 6.",
      .examples = "berth registry verify\nberth registry verify ai/smollm2 --json",
      .group = Group::kServer,
      .arguments = {{.name = "REPOSITORY",
                     .count = Argument::Count::kOptional,
                     .target = &o->repository}},
      .flags = flags_of(*o, {progress_flag(o->progress)}),
      .run = bound(o, verify)};
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

std::vector<Command> registry_care_commands() {
  return {prune_tags(), verify_blobs(), show_events()};
}

}  // namespace berth::cli
