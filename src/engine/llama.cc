#include "engine/llama.h"

#include <algorithm>

#include "base/text.h"
#include "engine/explain.h"
#include "engine/installation.h"
#include "engine/launch.h"
#include "rt/async.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

const Traits kTraits{.name = "llama.cpp",
                     .formats = {"gguf"},
                     .modes = {Mode::kCompletion, Mode::kEmbedding, Mode::kReranking}};

// A share of the time that has passed: fine steps for a small model, few for one that takes
// minutes.
std::chrono::milliseconds pause_after(std::chrono::steady_clock::duration passed) {
  const auto share = std::chrono::duration_cast<std::chrono::milliseconds>(passed / 16);
  return std::clamp<std::chrono::milliseconds>(share, 3ms, 50ms);
}

http::Request health_request() {
  http::Request request;
  request.url = {.scheme = "http", .host = "localhost", .port = 80, .path = "/health"};
  return request;
}

// Only a 200 is ready: while it loads, llama-server answers 503.
rt::Task<bool> is_healthy(rt::Op& op, http::Service& client) {
  auto response = co_await client.handle(op, health_request());
  if (!response) co_return false;
  const int status = response->status;
  // Read to the end, so that the connection can be used again.
  (void)co_await http::read_all(op, std::move(response->body), 64 * 1024);
  co_return status == 200;
}

}  // namespace

Llama::Llama(rt::Loop& loop, LlamaSettings settings)
    : loop_(loop), settings_(std::move(settings)) {}
Llama::~Llama() = default;

const Traits& Llama::traits() const { return kTraits; }

Result<Installation> Llama::find() const {
  return find_llama({settings_.configured, settings_.engines_dir, settings_.path});
}

Result<std::string> Llama::find_bwrap() const {
  if (auto path = process::find_program(settings_.bwrap, settings_.path)) return *path;
  return fail(Code::kNotFound,
              "bubblewrap is not installed, so engines cannot be sandboxed: install it (apt-get "
              "install bubblewrap) or run the engine unprotected with --no-sandbox");
}

rt::Task<Result<Installation>> Llama::probe(rt::Op& op) {
  CO_TRY(Installation found, co_await rt::blocking(loop_, [this] { return find(); }));
  if (!found.version.empty()) co_return found;
  process::Command command{.program = found.program, .arguments = {"--version"}};
  command.environment = {{"PATH", "/usr/bin:/bin"}};
  CO_TRY(const process::Finished finished,
         co_await process::run_to_end(op, loop_, std::move(command), {.time = 20s}));
  if (!finished.status.success()) {
    co_return fail(Code::kUnavailable, "{} does not run ({}): {}", found.program,
                   finished.status.to_string(), printable(trim(finished.errors)));
  }
  found.version =
      trim(fmt::format("llama.cpp {}", version_in(finished.output + "\n" + finished.errors)));
  co_return found;
}

rt::Task<Result<Launch>> Llama::plan(rt::Op& op, LaunchRequest request) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(loop_, [this, &request]() -> Result<Launch> {
    TRY(const Installation installation, find());
    LaunchPlaces places{.runtime_dir = settings_.runtime_dir, .devices = settings_.root};
    if (request.isolation == Isolation::kSandbox) {
      TRY(places.bwrap, find_bwrap());
    }
    return make_launch(installation, places, request);
  });
}

rt::Task<Status> Llama::ready(rt::Op& op, process::Child& child, http::Service& client) {
  const auto begin = std::chrono::steady_clock::now();
  while (!co_await is_healthy(op, client)) {
    CO_TRY_OK(op.check());
    if (child.exit_status()) {
      co_return fail(Code::kUnavailable, "the engine ended while it loaded the model ({})",
                     child.exit_status()->to_string());
    }
    CO_TRY_OK(co_await rt::sleep_for(op, pause_after(std::chrono::steady_clock::now() - begin)));
  }
  co_return Status();
}

Error Llama::explain_exit(const process::Child& child, const Launch& launch) const {
  return explain_end(child.exit_status().value_or(process::ExitStatus{}), child.output(),
                     launch.cgroup && launch.cgroup->out_of_memory());
}

rt::Task<Result<SandboxReport>> Llama::sandbox_report(rt::Op& op, Isolation isolation) {
  if (isolation == Isolation::kSandbox) {
    CO_TRY(const std::string bwrap, find_bwrap());
    CO_TRY_OK(co_await probe_namespaces(op, loop_, bwrap));
  }
  const std::string no_cgroup =
      co_await rt::blocking(loop_, [] { return process::why_no_cgroup(); });
  co_return engine::sandbox_report(isolation, no_cgroup);
}

}  // namespace berth::engine
