// The binary: wires settings, the verbs of this process, the daemon and the command line together.
#include <fmt/ranges.h>

#include "apps/berth/host_backend.h"
#include "base/error.h"
#include "cli/cli.h"
#include "client/client.h"
#include "config/settings.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/registry.h"
#include "local/local.h"
#include "rt/loop.h"

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

config::Inputs inputs_of(const cli::Globals& globals, Flags flags) {
  config::Inputs inputs{.environment = config::Environment::of_process(),
                        .config_file = globals.config};
  if (!globals.store.empty()) inputs.environment.set("BERTH_HOME", globals.store);
  inputs.flags = std::move(flags);
  return inputs;
}

Result<config::Configuration> load_configuration(const cli::Globals& globals, Flags flags) {
  return config::load(inputs_of(globals, std::move(flags)));
}

// Everything in this process, but what runs is the daemon's when there is one for this store.
class LocalBackend : public cli::Backend {
 public:
  LocalBackend(std::unique_ptr<local::Local> local, std::unique_ptr<client::Client> daemon)
      : local_(std::move(local)), daemon_(std::move(daemon)), services_(compose()) {}

  control::Services& services() override { return services_; }
  rt::Task<Status> close(rt::Op& op) override { co_return co_await local_->shutdown(op); }

 private:
  control::Services compose() const {
    const control::Services here = local_->services();
    if (!daemon_) return here;
    const control::Services there = daemon_->services();
    return {.models = here.models,
            .transfers = here.transfers,
            .runs = there.runs,
            .system = there.system,
            .machine = here.machine,
            .tokens = here.tokens,
            .registries = here.registries};
  }

  std::unique_ptr<local::Local> local_;
  std::unique_ptr<client::Client> daemon_;
  control::Services services_;
};

client::ServerAddress address_of(const config::Settings& settings) {
  return {.url = settings.client.host,
          .tls = settings.client.tls,
          .tls_skip_verify = settings.client.tls_skip_verify,
          .ca_file = settings.client.tls_ca_cert,
          .token = settings.client.token,
          .defaults = {.registry = settings.registry.default_host,
                       .organisation = settings.registry.organisation}};
}

Result<std::unique_ptr<client::Client>> find_daemon(rt::Loop& loop, const config::Paths& paths) {
  if (!client::answers(paths.socket)) return nullptr;
  return client::Client::connect(loop, {.url = "unix://" + paths.socket});
}

Result<std::unique_ptr<cli::Backend>> connect(rt::Loop& loop, const cli::Globals& globals) {
  TRY(config::Configuration configuration, load_configuration(globals, flags_of(globals)));
  if (!configuration.settings.client.host.empty()) {
    TRY(auto client, client::Client::connect(loop, address_of(configuration.settings)));
    return std::make_unique<HostBackend>(loop, std::move(configuration), std::move(client));
  }
  TRY_OK(config::prepare_runtime(configuration.paths));
  TRY(auto daemon, find_daemon(loop, configuration.paths));
  TRY(auto local, local::Local::open(loop, std::move(configuration), local::Role::kCommand));
  return std::make_unique<LocalBackend>(std::move(local), std::move(daemon));
}

// Whom a question goes to that needs no store.
Result<std::unique_ptr<cli::Backend>> server(rt::Loop& loop, const cli::Globals& globals) {
  TRY(config::Configuration configuration, load_configuration(globals, flags_of(globals)));
  const bool named = !configuration.settings.client.host.empty();
  std::unique_ptr<client::Client> client;
  if (named) {
    TRY(client, client::Client::connect(loop, address_of(configuration.settings)));
  } else {
    TRY(client, find_daemon(loop, configuration.paths));
  }
  if (!client) return nullptr;
  return std::make_unique<HostBackend>(loop, std::move(configuration), std::move(client));
}

void add(Flags& flags, const char* key, const std::vector<std::string>& values) {
  if (!values.empty()) flags.emplace_back(key, fmt::format("{}", fmt::join(values, ",")));
}

void add(Flags& flags, const char* key, std::optional<bool> value) {
  if (value) flags.emplace_back(key, *value ? "true" : "false");
}

Status serve(const cli::ServeOptions& options) {
  Flags flags = flags_of(options.globals);
  add(flags, "server.listen", options.listen);
  add(flags, "server.hosts", options.allow_hosts);
  add(flags, "server.behind_proxy", options.behind_proxy);
  add(flags, "server.tls_certificate", options.tls_cert);
  add(flags, "server.tls_key", options.tls_key);
  add(flags, "server.require_token", options.require_token);
  add(flags, "server.registry", options.registry);
  add(flags, "server.record_requests", options.record_requests);
  if (options.insecure) flags.emplace_back("server.insecure", "true");
  return daemon::serve(inputs_of(options.globals, std::move(flags)));
}

Status serve_registry(const cli::RegistryServeOptions& options) {
  Flags flags = flags_of(options.globals);
  add(flags, "registry_server.listen", options.listen);
  add(flags, "registry_server.root", options.root);
  add(flags, "registry_server.hosts", options.allow_hosts);
  add(flags, "registry_server.tls_certificate", options.tls_cert);
  add(flags, "registry_server.tls_key", options.tls_key);
  add(flags, "registry_server.htpasswd", options.htpasswd);
  add(flags, "registry_server.behind_proxy", options.behind_proxy);
  add(flags, "registry_server.mirrors", options.mirrors);
  if (options.anonymous_pull) flags.emplace_back("registry_server.anonymous_pull", "true");
  if (options.insecure) flags.emplace_back("registry_server.insecure", "true");
  return daemon::serve_registry(inputs_of(options.globals, std::move(flags)));
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
  environment.server = berth::server;
  environment.serve = berth::serve;
  environment.serve_registry = berth::serve_registry;
  environment.data_dir = berth::data_dir;
  return berth::cli::main(std::span<char* const>(argv, static_cast<std::size_t>(argc)),
                          environment);
}
