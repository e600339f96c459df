// The binary: wires settings, the verbs of this process, the daemon and the command line together.
#include "cli/cli.h"
#include "config/settings.h"
#include "local/local.h"

namespace berth {
namespace {

using Flags = std::vector<std::pair<std::string, std::string>>;

void add(Flags& flags, const char* key, const std::string& value) {
  if (!value.empty()) flags.emplace_back(key, value);
}

Flags flags_of(const cli::Globals& globals) {
  Flags flags;
  add(flags, "client.host", globals.host);
  add(flags, "log.level", globals.debug ? "debug" : globals.log_level);
  add(flags, "log.format", globals.log_format);
  add(flags, "engine.gpu", globals.gpu);
  if (globals.no_sandbox) flags.emplace_back("engine.no_sandbox", "true");
  return flags;
}

Result<config::Configuration> load_configuration(const cli::Globals& globals, Flags flags) {
  config::Inputs inputs{.environment = config::Environment::of_process(), .config_file = globals.config};
  if (!globals.store.empty()) inputs.environment.set("BERTH_HOME", globals.store);
  inputs.flags = std::move(flags);
  return config::load(inputs);
}

// Everything in this process.
class LocalBackend : public cli::Backend {
 public:
  explicit LocalBackend(std::unique_ptr<local::Local> local) : local_(std::move(local)), services_(local_->services()) {}

  control::Services& services() override { return services_; }
  rt::Task<Status> close(rt::Op& op) override { co_return co_await local_->shutdown(op); }

 private:
  std::unique_ptr<local::Local> local_;
  control::Services services_;
};

Result<std::unique_ptr<cli::Backend>> connect(rt::Loop& loop, const cli::Globals& globals) {
  TRY(config::Configuration configuration, load_configuration(globals, flags_of(globals)));
  TRY_OK(config::prepare_runtime(configuration.paths));
  TRY(auto local, local::Local::open(loop, std::move(configuration), local::Role::kCommand));
  return std::make_unique<LocalBackend>(std::move(local));
}

std::string data_dir(const cli::Globals& globals) {
  const auto configuration = load_configuration(globals, flags_of(globals));
  return configuration ? configuration->paths.data : "";
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  berth::cli::Environment environment;
  environment.connect = berth::connect;
  environment.data_dir = berth::data_dir;
  return berth::cli::main(std::span<char* const>(argv, static_cast<std::size_t>(argc)), environment);
}
