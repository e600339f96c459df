// What a registry of Berth's knows of its models: ls, show, history, search, gc, du.
#include "base/count.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

struct Options {
  std::string registry = "127.0.0.1:5000";
  std::string name;
  Format format;
};
struct SearchOptions : Options {
  std::vector<std::string> words;
  std::string architecture, quantization, format_name, license;
  std::string min_parameters, max_parameters, min_context, min_size, max_size;
};
struct CollectOptions : Options {
  bool dry_run = false;
};

// "team/x", "team/x:v1", "team/x@sha256:…"
struct Name {
  std::string repository;
  std::string tag;
  std::string digest;
};
Name name_of(const std::string& text) {
  const std::size_t at = text.find('@');
  const std::string named = text.substr(0, at);
  const std::size_t colon = named.find(':');
  Name name{.repository = named.substr(0, colon)};
  if (colon != std::string::npos) name.tag = named.substr(colon + 1);
  if (at != std::string::npos) name.digest = text.substr(at + 1);
  return name;
}

std::string number_text(std::uint64_t number) { return number == 0 ? "" : fmt::to_string(number); }
std::string count_text(std::uint64_t count) {
  return count == 0 ? "" : format_count(static_cast<double>(count));
}
// A digest, or nothing where a tag began or ended.
std::string id_text(const std::string& digest) { return digest.empty() ? "-" : short_id(digest); }

// One row for each tag, as `berth list` shows them.
void add_rows(Table& table, const control::RegistryModel& model, const Context& context) {
  std::vector<std::string> names;
  for (const std::string& tag : model.tags) names.push_back(model.repository + ":" + tag);
  if (names.empty()) names.push_back(model.repository + "@" + short_id(model.digest));
  for (const std::string& name : names) {
    table.row({name + (model.findings.empty() ? "" : " (!)"), count_text(model.parameters),
               model.quantization, model.architecture, short_id(model.digest),
               format_ago(model.pushed, context.now), number_text(model.context_length),
               format_size(model.size)});
  }
}

void print_models(Context& context, const Format& format,
                  const std::vector<control::RegistryModel>& models) {
  if (format.is_json()) {
    print_json(context.output, json_array(models, [](const control::RegistryModel& model) {
                 return control::to_json(model);
               }));
    return;
  }
  Table table({"MODEL NAME", "PARAMETERS", "QUANTIZATION", "ARCHITECTURE", "MODEL ID", "PUSHED",
               "CONTEXT", "SIZE"});
  bool any_finding = false;
  for (const control::RegistryModel& model : models) {
    any_finding = any_finding || !model.findings.empty();
    add_rows(table, model, context);
  }
  context.output.out.write(table.text());
  if (any_finding) {
    context.output.note("(!) is not what it says; see why with: {} registry show NAME",
                        context.program);
  }
}

rt::Task<Result<int>> list_tags(Context& context, Options& options) {
  CO_TRY(const auto tags,
         co_await context.services->registries.tags(context.op, options.registry, options.name));
  if (options.format.is_json()) {
    print_json(context.output, json_array(tags, [](const control::RegistryTag& tag) {
                 return control::to_json(tag);
               }));
    co_return 0;
  }
  Table table({"TAG", "DIGEST", "MOVED"});
  for (const control::RegistryTag& tag : tags)
    table.row({tag.tag, short_id(tag.digest), format_ago(tag.moved, context.now)});
  context.output.out.write(table.text());
  co_return 0;
}

rt::Task<Result<int>> list(Context& context, Options& options) {
  if (!options.name.empty()) co_return co_await list_tags(context, options);
  CO_TRY(const auto models,
         co_await context.services->registries.models(context.op, options.registry, {}));
  print_models(context, options.format, models);
  co_return 0;
}

// The digest that a name stands for; the tag is latest when none is said.
rt::Task<Result<std::string>> digest_of(Context& context, const Options& options, Name name) {
  if (!name.digest.empty()) co_return name.digest;
  if (name.tag.empty()) name.tag = "latest";
  CO_TRY(const auto tags,
         co_await context.services->registries.tags(context.op, options.registry, name.repository));
  for (const control::RegistryTag& tag : tags)
    if (tag.tag == name.tag) co_return tag.digest;
  co_return fail(Code::kNotFound, "there is no tag {} in {}; see them with: {} registry ls {}",
                 printable(name.tag, 130), printable(name.repository), context.program,
                 printable(name.repository));
}

std::string described(const control::RegistryModel& model, const std::string& registry) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<16}{}\n", name, printable(value));
  };
  line("Model:", fmt::format("{}/{}", registry, model.repository));
  line("Tags:", fmt::format("{}", fmt::join(model.tags, ", ")));
  line("Digest:", model.digest);
  line("Pushed:", format_rfc3339(model.pushed));
  line("Name:", model.name);
  line("Format:", model.format);
  line("Architecture:", model.architecture);
  line("Parameters:", count_text(model.parameters));
  line("Quantization:", model.quantization);
  line("Context length:", number_text(model.context_length));
  line("License:", model.license);
  line("Size:", format_size(model.size));
  for (const std::string& finding : model.findings)
    text += fmt::format("Warning:        {}\n", printable(finding, 700));
  return text;
}

rt::Task<Result<int>> show(Context& context, Options& options) {
  const Name name = name_of(options.name);
  CO_TRY(const std::string digest, co_await digest_of(context, options, name));
  CO_TRY(const auto models, co_await context.services->registries.models(
                                context.op, options.registry, {.repository = name.repository}));
  for (const control::RegistryModel& model : models) {
    if (!id_matches(model.digest, digest)) continue;
    if (options.format.is_json()) {
      print_json(context.output, control::to_json(model));
    } else {
      context.output.out.write(described(model, options.registry));
    }
    co_return 0;
  }
  co_return fail(Code::kNotFound, "{} is in {}, but it is no model that the registry knows",
                 printable(options.name), printable(options.registry));
}

rt::Task<Result<int>> history(Context& context, Options& options) {
  const Name name = name_of(options.name);
  CO_TRY(const auto moves, co_await context.services->registries.history(
                               context.op, options.registry, name.repository, name.tag));
  if (options.format.is_json()) {
    print_json(context.output, json_array(moves, [](const control::RegistryMove& move) {
                 return control::to_json(move);
               }));
    co_return 0;
  }
  Table table({"WHEN", "TAG", "FROM", "TO", "WHO"});
  for (const control::RegistryMove& move : moves) {
    table.row(
        {format_rfc3339(move.at), move.tag, id_text(move.before), id_text(move.after), move.actor});
  }
  context.output.out.write(table.text());
  co_return 0;
}

// "7B" and "4096" for counts, "4GB" for sizes: whole numbers, as the registry takes them.
Result<std::string> whole_number(std::string_view flag, const std::string& text) {
  if (flag.ends_with("size")) {
    if (const auto size = parse_size(text)) return fmt::to_string(*size);
    return fail(Code::kInvalid, "--{} takes a size such as 4GB, not \"{}\"", flag,
                printable(text, 40));
  }
  const auto count = parse_count(text);
  if (count && *count < 1e18) return fmt::to_string(std::llround(*count));
  return fail(Code::kInvalid, "--{} takes a number such as 7B or 4096, not \"{}\"", flag,
              printable(text, 40));
}

Result<control::RegistryQuery> query_of(const SearchOptions& options) {
  control::RegistryQuery query;
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) query.conditions.emplace_back(name, value);
  };
  add("q", fmt::format("{}", fmt::join(options.words, " ")));
  add("architecture", options.architecture);
  add("quantization", options.quantization);
  add("format", options.format_name);
  add("license", options.license);
  struct Number {
    std::string_view flag;
    std::string_view condition;
    const std::string& text;
  };
  const Number numbers[] = {
      {"min-parameters", "min_parameters", options.min_parameters},
      {"max-parameters", "max_parameters", options.max_parameters},
      {"min-context", "min_context", options.min_context},
      {"min-size", "min_size", options.min_size},
      {"max-size", "max_size", options.max_size},
  };
  for (const Number& number : numbers) {
    if (number.text.empty()) continue;
    TRY(const std::string value, whole_number(number.flag, number.text));
    add(number.condition, value);
  }
  return query;
}

rt::Task<Result<int>> search(Context& context, SearchOptions& options) {
  CO_TRY(control::RegistryQuery query, query_of(options));
  CO_TRY(const auto models, co_await context.services->registries.models(
                                context.op, options.registry, std::move(query)));
  print_models(context, options.format, models);
  co_return 0;
}

rt::Task<Result<int>> collect(Context& context, CollectOptions& options) {
  CO_TRY(const auto freed, co_await context.services->registries.collect(
                               context.op, options.registry, options.dry_run));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(freed));
  } else {
    context.output.print("{} {} blobs, {}\n", freed.dry_run ? "Would free" : "Freed", freed.blobs,
                         format_size(freed.bytes));
  }
  co_return 0;
}

std::string usage_name(const control::RegistryUsage& usage, const std::string& repository) {
  if (repository.empty()) return usage.name;
  return usage.tags.empty() ? short_id(usage.name) : fmt::format("{}", fmt::join(usage.tags, ", "));
}

rt::Task<Result<int>> usage(Context& context, Options& options) {
  CO_TRY(const auto usages,
         co_await context.services->registries.usage(context.op, options.registry, options.name));
  if (options.format.is_json()) {
    print_json(context.output, json_array(usages, [](const control::RegistryUsage& one) {
                 return control::to_json(one);
               }));
    co_return 0;
  }
  Table table({options.name.empty() ? "REPOSITORY" : "TAGS", "SIZE", "SHARED", "OWN"});
  for (const control::RegistryUsage& one : usages) {
    table.row({usage_name(one, options.name), format_size(one.bytes), format_size(one.shared),
               format_size(one.bytes - one.shared)});
  }
  context.output.out.write(table.text());
  co_return 0;
}

template <class T>
std::vector<Flag> flags_of(T& options, std::vector<Flag> flags = {}) {
  flags.insert(flags.begin(), {.name = "registry",
                               .value = "HOST",
                               .help = "The registry to ask (127.0.0.1:5000)",
                               .target = &options.registry});
  return with_format(options.format, std::move(flags));
}

Command list_models() {
  auto o = std::make_shared<Options>();
  return {.name = "ls",
          .aliases = {"list"},
          .summary = "List the models of a registry, or the tags of a repository",
          .examples = "berth registry ls\nberth registry ls ai/smollm2 --json",
          .group = Group::kServer,
          .arguments = {{.name = "REPOSITORY",
                         .count = Argument::Count::kOptional,
                         .target = &o->name}},
          .flags = flags_of(*o),
          .run = bound(o, list)};
}

Command show_model() {
  auto o = std::make_shared<Options>();
  return {.name = "show",
          .summary = "Show what a registry knows of a model",
          .examples = "berth registry show ai/smollm2:latest",
          .group = Group::kServer,
          .arguments = {{.name = "REPOSITORY[:TAG]", .target = &o->name}},
          .flags = flags_of(*o),
          .run = bound(o, show)};
}

Command show_history() {
  auto o = std::make_shared<Options>();
  return {.name = "history",
          .summary = "Show who moved the tags of a repository, from where to where",
          .examples = "berth registry history ai/smollm2\nberth registry history ai/smollm2:latest",
          .group = Group::kServer,
          .arguments = {{.name = "REPOSITORY[:TAG]", .target = &o->name}},
          .flags = flags_of(*o),
          .run = bound(o, history)};
}

Command search_models() {
  auto o = std::make_shared<SearchOptions>();
  return {
      .name = "search",
      .summary = "Search the models of a registry",
      .details = "Every WORD has to be in the name, a tag or the architecture.",
      .examples =
          "berth registry search smollm\n"
          "berth registry search --architecture llama --max-parameters 8B",
      .group = Group::kServer,
      .arguments = {{.name = "WORD", .count = Argument::Count::kAny, .target = &o->words}},
      .flags = flags_of(
          *o,
          {{.name = "architecture",
            .value = "NAME",
            .help = "Such as llama or qwen3",
            .target = &o->architecture},
           {.name = "quantization",
            .value = "NAME",
            .help = "Such as Q4_K_M",
            .target = &o->quantization},
           {.name = "model-format",
            .value = "NAME",
            .help = "gguf or safetensors",
            .target = &o->format_name},
           {.name = "license", .value = "NAME", .help = "Such as mit", .target = &o->license},
           {.name = "min-parameters",
            .value = "COUNT",
            .help = "At least so many parameters, such as 7B",
            .target = &o->min_parameters},
           {.name = "max-parameters",
            .value = "COUNT",
            .help = "At most so many parameters",
            .target = &o->max_parameters},
           {.name = "min-context",
            .value = "COUNT",
            .help = "Trained with at least so much context",
            .target = &o->min_context},
           {.name = "min-size", .value = "SIZE", .help = "At least so big", .target = &o->min_size},
           {.name = "max-size",
            .value = "SIZE",
            .help = "At most so big, such as 4GB",
            .target = &o->max_size}}),
      .run = bound(o, search)};
}

Command collect_blobs() {
  auto o = std::make_shared<CollectOptions>();
  return {
      .name = "gc",
      .summary = "Free what no model of a registry needs any more",
      .details =
          "What was uploaded not long ago is kept: the manifest that names it may be on "
          "its way.",
      .examples = "berth registry gc --dry-run",
      .group = Group::kServer,
      .flags = flags_of(
          *o, {{.name = "dry-run", .help = "Only say what would be freed", .target = &o->dry_run}}),
      .run = bound(o, collect)};
}

Command show_usage() {
  auto o = std::make_shared<Options>();
  return {.name = "du",
          .summary = "Show what the repositories of a registry, or the models of one, take",
          .details = "SHARED are bytes that others need as well; OWN would be free without it.",
          .examples = "berth registry du\nberth registry du ai/smollm2",
          .group = Group::kServer,
          .arguments = {{.name = "REPOSITORY",
                         .count = Argument::Count::kOptional,
                         .target = &o->name}},
          .flags = flags_of(*o),
          .run = bound(o, usage)};
}

}  // namespace

std::vector<Command> registry_view_commands() {
  return {list_models(),   show_model(),    show_history(),
          search_models(), collect_blobs(), show_usage()};
}

}  // namespace berth::cli
