#include "base/text.h"
#include "cli/commands.h"
#include "cli/configure_flags.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/table.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct Options {
  std::string model;
  EngineFlags engine;
  std::string hf_overrides;
  std::optional<double> gpu_memory_utilization;
  std::optional<bool> think;
  std::string mode;
  std::optional<std::chrono::milliseconds> keep_alive;
  std::vector<std::string> runtime_flags;
};
struct Show {
  std::string model;
  Format format;
};

Result<control::Configuration> configuration_of(const Options& options) {
  if (!options.hf_overrides.empty() || options.gpu_memory_utilization) {
    return fail(
        Code::kUnsupported,
        "--hf_overrides and --gpu-memory-utilization belong to vLLM, which is not in this version");
  }
  if (options.mode == "image-generation") {
    return fail(Code::kUnsupported, "image generation is not in this version");
  }
  control::Configuration configuration{.model = options.model,
                                       .mode = options.mode,
                                       .runtime_flags = options.runtime_flags,
                                       .keep_alive = options.keep_alive};
  TRY_OK(apply(options.engine, configuration));
  if (options.think) configuration.reasoning_budget = *options.think ? -1 : 0;
  return configuration;
}

rt::Task<Result<int>> run(Context& context, Options& options) {
  CO_TRY(control::Configuration configuration, configuration_of(options));
  auto done = co_await context.services->runs.configure(context.op, std::move(configuration));
  if (!done) co_return std::unexpected(with_hints(context, std::move(done.error()), options.model));
  context.output.note("Configured {}", printable(options.model));
  co_return 0;
}

// The whole of it is in JSON, as Docker Model Runner prints it; the table has what people look for.
rt::Task<Result<int>> show(Context& context, Show& options) {
  CO_TRY(const auto entries,
         co_await context.services->runs.configurations(context.op, options.model));
  if (options.format.is_json(true)) {
    print_json(context.output, json_array(entries, [](const control::ConfigurationEntry& entry) {
                 return control::to_json(entry);
               }));
    co_return 0;
  }
  Table table({"MODEL NAME", "BACKEND", "MODE", "CONTEXT", "KEEP ALIVE", "RUNTIME FLAGS"});
  for (const control::ConfigurationEntry& entry : entries) {
    const control::Configuration& c = entry.configuration;
    table.row({familiar_name(entry.model, context.names), entry.backend, c.mode,
               c.context_size ? fmt::to_string(*c.context_size) : "",
               c.keep_alive ? control::keep_alive_text(*c.keep_alive) : "",
               fmt::format("{}", fmt::join(c.runtime_flags, " "))});
  }
  context.output.out.write(table.text());
  co_return 0;
}

std::vector<Flag> flags_of(Options& o) {
  std::vector<Flag> flags = engine_flags(o.engine);
  flags.push_back({.name = "think",
                   .help = "Let a reasoning model think; --think=false stops it",
                   .target = &o.think});
  flags.push_back({.name = "mode",
                   .value = "MODE",
                   .help = "What the model is run for",
                   .target = &o.mode,
                   .choices = {"completion", "embedding", "reranking", "image-generation"}});
  flags.push_back({.name = "keep-alive",
                   .value = "DURATION",
                   .help = "How long it stays loaded: 5m, 1h, 0, or -1 for ever",
                   .target = &o.keep_alive});
  flags.push_back({.name = "hf_overrides",
                   .value = "JSON",
                   .help = "vLLM only: not in this version",
                   .target = &o.hf_overrides,
                   .hidden = true});
  flags.push_back({.name = "gpu-memory-utilization",
                   .value = "PART",
                   .help = "vLLM only: not in this version",
                   .target = &o.gpu_memory_utilization,
                   .hidden = true});
  return flags;
}

Command show_child() {
  auto o = std::make_shared<Show>();
  return {.name = "show",
          .summary = "Show what is configured for one model or all",
          .examples = "berth configure show\nberth configure show smollm2 --format table",
          .group = Group::kRunning,
          .arguments = {{.name = "MODEL",
                         .count = Argument::Count::kOptional,
                         .target = &o->model,
                         .completes = Completes::kModel}},
          .flags = with_format(o->format),
          .run = bound(o, show)};
}

}  // namespace

std::vector<Flag> engine_flags(EngineFlags& o) {
  return {{.name = "context-size",
           .value = "TOKENS",
           .help = "Context size",
           .target = &o.context_size},
          {.name = "speculative-draft-model",
           .value = "MODEL",
           .help = "Draft model for speculative decoding",
           .target = &o.draft_model,
           .completes = Completes::kModel},
          {.name = "speculative-num-tokens",
           .value = "N",
           .help = "Tokens to draft at a time",
           .target = &o.draft_tokens},
          {.name = "speculative-min-acceptance-rate",
           .value = "RATE",
           .help = "Least rate of accepted tokens (0 to 1)",
           .target = &o.draft_min_acceptance}};
}

Status apply(const EngineFlags& flags, control::Configuration& configuration) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  if (flags.context_size && (*flags.context_size > kMax || *flags.context_size < -1)) {
    return fail(Code::kInvalid, "--context-size {} is out of range: -1 (the engine's own) to {}",
                *flags.context_size, kMax);
  }
  if (flags.draft_min_acceptance &&
      (*flags.draft_min_acceptance < 0 || *flags.draft_min_acceptance > 1)) {
    return fail(Code::kInvalid, "--speculative-min-acceptance-rate must be between 0 and 1");
  }
  configuration.context_size = flags.context_size;
  configuration.draft_model = flags.draft_model;
  configuration.draft_tokens = flags.draft_tokens;
  configuration.draft_min_acceptance = flags.draft_min_acceptance;
  return {};
}

Result<std::vector<std::string>> runtime_words(const std::string& text) {
  // The reader of the HTTP body is the one place that splits them.
  const json::Value body = json::Object{{"model", ""}, {"raw-runtime-flags", text}};
  TRY(const control::Configuration read,
      control::configuration_from_json(json::View(body, "--runtime-flags")));
  return read.runtime_flags;
}

Command configure_command() {
  auto o = std::make_shared<Options>();
  return {.name = "configure",
          .aliases = {"config"},
          .summary = "Set how a model is run",
          .details =
              "The settings are kept by the server, also over a restart. Runtime flags follow --; "
              "those that are not known\n"
              "are refused by name.",
          .examples =
              "berth configure --context-size 8192 smollm2\nberth configure --keep-alive 1h "
              "smollm2 -- --threads 4",
          .group = Group::kRunning,
          .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
          .flags = flags_of(*o),
          .rest = &o->runtime_flags,
          .run = bound(o, run),
          .children = {show_child()}};
}

}  // namespace berth::cli
