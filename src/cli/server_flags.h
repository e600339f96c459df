// The flags of a server: `serve` and `start-runner` share them.
#pragma once

#include "cli/command.h"

namespace berth::cli {

struct ServerFlags {
  std::vector<std::string> listen;
  std::optional<std::uint64_t> port;
  std::string socket;
  std::string models_path;
  std::optional<bool> require_token;
  std::optional<bool> registry;
  std::string tls_cert;
  std::string tls_key;
  std::vector<std::string> behind_proxy;
  std::vector<std::string> allow_hosts;
  std::string gpu;
  std::optional<bool> record_requests;
  bool insecure = false;
  bool no_sandbox = false;
};
std::vector<Flag> server_flags(ServerFlags& flags);
Result<ServeOptions> serve_options(const ServerFlags& flags, const Globals& globals);
// The options as words again, for a server in a process of its own.
std::vector<std::string> server_words(const ServeOptions& serve);
// What a server was started with, but for the flags that are given anew. Both as server_words()
// makes them.
std::vector<std::string> merge_server_words(const std::vector<std::string>& before,
                                            const std::vector<std::string>& anew);

}  // namespace berth::cli
