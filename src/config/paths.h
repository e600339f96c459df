// Where Berth keeps things: XDG's folders, or all of them below BERTH_HOME.
//
// Values only; nothing is created but by prepare_runtime. A unix socket's path may have 107 bytes,
// so the runtime folder is short whatever BERTH_HOME is. Source: XDG Base Directory Specification
// 0.8, unix(7).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::config {

// The process's environment as a value, so that tests have their own.
class Environment {
 public:
  Environment() = default;
  explicit Environment(std::map<std::string, std::string> variables)
      : variables_(std::move(variables)) {}
  static Environment of_process();

  // nullopt when unset or empty.
  std::optional<std::string> get(std::string_view name) const;
  void set(std::string name, std::string value) {
    variables_.insert_or_assign(std::move(name), std::move(value));
  }

 private:
  std::map<std::string, std::string> variables_;
};

struct Paths {
  std::string config;       // folder of config.toml
  std::string config_file;  // config.toml, or what --config named
  std::string data;         // tokens, configurations of models, engines
  std::string cache;        // what may be deleted at any time
  std::string runtime;      // sockets; short, 0700
  std::string store;        // root of the local store
  std::string engines;      // engine roots that Berth installed
  std::string socket;       // of the daemon that serves this store
};

inline constexpr std::size_t kMaxSocketPath = 107;
// A runtime folder is at most so long that a socket of this many further bytes fits into it ("/"
// and 40).
inline constexpr std::size_t kSocketNameRoom = 41;

// `store` and `socket` come from the settings ("" = default); `config_file` from --config. A store
// elsewhere than the default has a socket of its own. kInvalid when there is neither BERTH_HOME nor
// a home folder, or a socket path is too long.
Result<Paths> resolve_paths(const Environment& environment, std::string_view config_file = "",
                            std::string_view store = "", std::string_view socket = "");

// Makes the runtime folder (0700). kDenied when it is not this user's alone: /tmp is shared, so a
// folder that somebody else made there is never used. Blocking.
Status prepare_runtime(const Paths& paths);

// "~/x" and relative paths become absolute; others stay.
std::string absolute_path(const Environment& environment, std::string_view path);

}  // namespace berth::config
