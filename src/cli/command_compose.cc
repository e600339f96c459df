// Docker Compose's provider protocol: JSON lines on standard output. Source: facts 1 (compose), as
// Docker Model Runner speaks it.
#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/configure_flags.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/transfer.h"

namespace berth::cli {
namespace {

struct Options {
  std::vector<std::string> models;
  EngineFlags engine;
  std::string runtime_flags;
  std::string backend;
  std::string project_name;
};

void send(Output& output, std::string_view type, const std::string& message) {
  output.out.write(json::serialize(json::Object{{"type", type}, {"message", message}}) + "\n");
  output.out.flush();
}

// Progress as info lines, at most one a second.
class ComposeEvents : public control::Events {
 public:
  explicit ComposeEvents(Output& output) : output_(output) {}
  void on(const control::Event& event) override {
    const auto now = std::chrono::steady_clock::now();
    state_.on(event, now);
    if (event.kind != control::Event::Kind::kLayer || now - last_ < std::chrono::seconds(1)) return;
    last_ = now;
    send(output_, "info", render_line(state_, now, "Downloaded"));
  }

 private:
  Output& output_;
  TransferState state_;
  rt::SteadyTime last_{};
};

rt::Task<Status> pull_absent(Context& context, std::vector<std::string> models) {
  for (const std::string& model : models) {
    const auto found = co_await context.services->models.inspect(context.op, model, false);
    if (found) continue;
    if (found.error().code() != Code::kNotFound) co_return std::unexpected(found.error());
    ComposeEvents events(context.output);
    control::PullRequest request{.model = model,
                                 .bearer_token = hugging_face_token(context, model)};
    CO_TRY(const auto pulled,
           co_await context.services->transfers.pull(context.op, std::move(request), events));
    send(context.output, "info", "Pulled " + pulled.reference);
  }
  co_return Status();
}

rt::Task<Status> configure_all(Context& context, const Options& options) {
  for (const std::string& model : options.models) {
    control::Configuration configuration{.model = model};
    CO_TRY_OK(apply(options.engine, configuration));
    CO_TRY(configuration.runtime_flags, runtime_words(options.runtime_flags));
    CO_TRY_OK(co_await context.services->runs.configure(context.op, std::move(configuration)));
    send(context.output, "info", "Successfully configured backend for model " + model);
  }
  co_return Status();
}

// Where the server can be reached over TCP, without a slash at the end; "" for nowhere.
std::string tcp_endpoint(const control::StatusReport& report) {
  std::vector<std::string> all = report.endpoints;
  all.insert(all.begin(), report.endpoint);
  const auto found =
      std::ranges::find_if(all, [](const std::string& one) { return one.starts_with("http"); });
  if (found == all.end()) return "";
  std::string endpoint = *found;
  // "Every address" is none that can be called.
  for (const std::string_view any : {"//0.0.0.0:", "//[::]:"}) {
    const std::size_t at = endpoint.find(any);
    if (at != std::string::npos) endpoint.replace(at, any.size(), "//localhost:");
  }
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint;
}

rt::Task<Status> bring_up(Context& context, const Options& options) {
  if (options.models.empty()) co_return fail(Code::kInvalid, "options.model is required");
  CO_TRY(const control::StatusReport report, co_await context.services->system.status(context.op));
  const std::string endpoint = report.running ? tcp_endpoint(report) : "";
  if (endpoint.empty()) {
    co_return fail(
        Code::kUnavailable,
        "no Berth server listens on TCP, where containers could reach it; start one with: {} "
        "{}-runner --port 12434",
        context.program, report.running ? "restart" : "start");
  }
  CO_TRY_OK(co_await pull_absent(context, options.models));
  send(context.output, "setenv", fmt::format("MODEL={}", fmt::join(options.models, ",")));
  CO_TRY_OK(co_await configure_all(context, options));
  send(context.output, "setenv", "URL=" + endpoint + "/engines/v1/");
  co_return Status();
}

rt::Task<Result<int>> up(Context& context, Options& options) {
  send(context.output, "info", "Initializing model runner...");
  Status done = co_await bring_up(context, options);
  if (!done) {
    send(context.output, "error", printable(done.error().message(), 4096));
    co_return std::unexpected(std::move(done.error()));
  }
  co_return 0;
}

// A provider must answer; there is nothing to take down.
rt::Task<Result<int>> down(Context&, Options&) { co_return 0; }

std::string_view type_of(const Flag& flag) {
  if (std::holds_alternative<std::vector<std::string>*>(flag.target)) return "stringArray";
  if (std::holds_alternative<std::optional<std::int64_t>*>(flag.target)) return "int64";
  if (std::holds_alternative<std::optional<double>*>(flag.target)) return "float64";
  return "string";
}

std::vector<Flag> up_flags(Options& o) {
  std::vector<Flag> flags = engine_flags(o.engine);
  flags.push_back({.name = "model", .value = "MODEL", .help = "model to use", .target = &o.models});
  flags.push_back({.name = "runtime-flags",
                   .value = "FLAGS",
                   .help = "runtime flags of the inference engine",
                   .target = &o.runtime_flags});
  flags.push_back({.name = "backend",
                   .value = "BACKEND",
                   .help = "inference backend to use",
                   .target = &o.backend});
  std::ranges::sort(flags, {}, &Flag::name);
  return flags;
}

rt::Task<Result<int>> metadata(Context& context, Options& options) {
  json::Array parameters;
  for (const Flag& flag : up_flags(options)) {
    parameters.push_back(json::Object{{"name", flag.name},
                                      {"description", flag.help},
                                      {"required", flag.name == "model"},
                                      {"type", type_of(flag)}});
  }
  context.output.print("{}", json::serialize(json::Object{
                                 {"description", "Docker Model Runner"},
                                 {"up", json::Object{{"parameters", std::move(parameters)}}},
                                 {"down", json::Object{{"parameters", nullptr}}}}));
  co_return 0;
}

}  // namespace

Command compose_command() {
  auto o = std::make_shared<Options>();
  const Flag project{.name = "project-name",
                     .value = "NAME",
                     .help = "Compose project",
                     .target = &o->project_name};
  std::vector<Flag> flags = up_flags(*o);
  flags.push_back(project);
  return {.name = "compose",
          .summary = "Docker Compose's provider",
          .group = Group::kHidden,
          .flags = {project},
          .children = {{.name = "up",
                        .summary = "Pull and configure models",
                        .group = Group::kHidden,
                        .flags = flags,
                        .run = bound(o, up)},
                       {.name = "down",
                        .summary = "Nothing to do",
                        .group = Group::kHidden,
                        .needs = Needs::kNothing,
                        .flags = {project},
                        .run = bound(o, down)},
                       {.name = "metadata",
                        .summary = "What up and down take",
                        .group = Group::kHidden,
                        .needs = Needs::kNothing,
                        .flags = {project},
                        .run = bound(o, metadata)}}};
}

}  // namespace berth::cli
