// The command line: parses arguments, runs one command over `control`, renders its answer and
// returns an exit status.
//
// Called once from main, on the main thread; it makes the loop when a command needs one. It knows
// no HTTP, store or engine: main hands in how to reach them. Exit statuses: docs/exit-status.md,
// from cli/exit_status.cc.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/control.h"
#include "rt/loop.h"

namespace berth::cli {

struct Output;
struct Input;

// What holds for every command. Empty: not said (then the environment, config.toml and defaults
// decide).
struct Globals {
  std::string host;           // --host, MODEL_RUNNER_HOST; "" = this machine
  std::string store;          // --store, BERTH_HOME
  std::string config;         // --config
  std::string docker_config;  // docker's own --config when called as its plugin, else DOCKER_CONFIG
  std::string log_level;      // "debug", "info", "warning", "error", "off"
  std::string log_format;     // "human", "json"
  std::string gpu;            // run and serve: "auto", "none", "vulkan", "cuda", "rocm"
  bool debug = false;
  bool no_sandbox = false;  // run and serve
};

// `berth serve`.
struct ServeOptions {
  Globals globals;
  std::vector<std::string>
      listen;  // HOST:PORT or unix:PATH; empty = the configured ones, else the user's socket
  std::vector<std::string> allow_hosts;
  std::vector<std::string> behind_proxy;  // CIDR
  std::string tls_cert;
  std::string tls_key;
  std::optional<bool> require_token;
  std::optional<bool> registry;  // also the registry
  std::optional<bool> record_requests;
  bool insecure = false;
};

// `berth registry serve`.
struct RegistryServeOptions {
  Globals globals;
  std::vector<std::string> listen;  // empty = the configured ones, else 127.0.0.1:5000
  std::string root;
  std::vector<std::string> allow_hosts;
  std::string tls_cert;
  std::string tls_key;
  std::string htpasswd;
  std::vector<std::string> behind_proxy;  // CIDR
  std::vector<std::string> mirrors;       // [PREFIX=]REGISTRY
  bool anonymous_pull = false;
  bool insecure = false;
};

// The verbs and what they stand on. Made for one command, closed at its end.
struct Backend {
  virtual ~Backend() = default;
  virtual control::Services& services() = 0;
  // Ends what runs (an engine of `run`), before the loop goes. `op` has a deadline.
  virtual rt::Task<Status> close(rt::Op& op) = 0;
};

// What main gives. Everything is optional in tests.
struct Environment {
  // Opens the store or names the server; may block. Called once, for commands that need it only.
  std::function<Result<std::unique_ptr<Backend>>(rt::Loop&, const Globals&)> connect;
  // The server that commands would turn to, to be asked for its version: the one that is named,
  // else this user's daemon, nullptr when nobody listens there. Opens no store.
  std::function<Result<std::unique_ptr<Backend>>(rt::Loop&, const Globals&)> server;
  // Runs the daemon until it is told to stop (it makes its own loop and handles signals).
  std::function<Status(const ServeOptions&)> serve;
  std::function<Status(const RegistryServeOptions&)> serve_registry;
  // The folder for the chat history, "" for none.
  std::function<std::string(const Globals&)> data_dir;
  // Default: the process's own, and the system's clock.
  std::function<std::optional<std::string>(const char*)> variable;
  std::function<std::chrono::sys_seconds()> now;
  Output* output = nullptr;
  Input* input = nullptr;
};

// `args` as main gets them; args[0] decides whether it acts as docker's plugin (docker-model).
int main(std::span<char* const> args, Environment environment);
int main(const std::vector<std::string>& args, Environment environment);

}  // namespace berth::cli
