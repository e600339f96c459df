#include "local/local.h"

#include <cstdlib>

#include "engine/llama.h"
#include "local/models.h"
#include "local/registry_view.h"
#include "local/runs.h"
#include "local/tokens.h"
#include "local/transfers.h"

namespace berth::local {
namespace {

engine::LlamaSettings llama_settings(const Shared& shared) {
  const char* path = std::getenv("PATH");
  return {.configured = shared.settings.engine.llama_server,
          .engines_dir = shared.paths.engines,
          .path = path ? path : "/usr/local/bin:/usr/bin:/bin",
          .runtime_dir = shared.paths.runtime};
}

}  // namespace

// In the order in which they are made; the references among them point upwards.
struct Local::Parts {
  Parts(rt::Loop& loop, config::Configuration configuration, std::unique_ptr<store::Store> store,
        Role role)
      : shared(loop, std::move(configuration), std::move(store)),
        llama(loop, llama_settings(shared)),
        runner(loop, llama, runner_settings(shared.settings)),
        launcher(shared, runner),
        models(shared),
        transfers(shared),
        runs(shared, runner, launcher),
        system(shared, llama, runner, role),
        machine(shared, transfers),
        tokens(shared.paths.data),
        registries(shared) {}

  Shared shared;
  engine::Llama llama;
  runner::Runner runner;
  Launcher launcher;
  Models models;
  Transfers transfers;
  Runs runs;
  System system;
  Machine machine;
  Tokens tokens;
  RegistryView registries;
};

Local::Local(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Local::~Local() = default;

Result<std::unique_ptr<Local>> Local::open(rt::Loop& loop, config::Configuration configuration,
                                           Role role) {
  store::Store::Options options{.root = configuration.paths.store};
  options.defaults = reference_defaults(configuration.settings);
  TRY(auto store, store::Store::open(loop, std::move(options)));
  auto parts = std::make_unique<Parts>(loop, std::move(configuration), std::move(store), role);
  return std::unique_ptr<Local>(new Local(std::move(parts)));
}

control::Services Local::services() {
  return {.models = parts_->models,
          .transfers = parts_->transfers,
          .runs = parts_->runs,
          .system = parts_->system,
          .machine = parts_->machine,
          .tokens = parts_->tokens,
          .registries = parts_->registries};
}

Launcher& Local::launcher() { return parts_->launcher; }
Transfers& Local::transfers() { return parts_->transfers; }
runner::Runner& Local::runner() { return parts_->runner; }
Shared& Local::shared() { return parts_->shared; }
System& Local::system() { return parts_->system; }

rt::Task<Status> Local::shutdown(rt::Op& op) { co_return co_await parts_->runner.shutdown(op); }

}  // namespace berth::local
