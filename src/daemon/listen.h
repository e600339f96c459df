// Where the daemon listens, and whether it may. Pure. Private to daemon.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/settings.h"
#include "http/server.h"

namespace berth::daemon {

struct Listen {
  enum class Kind { kUnix, kHttp, kHttps } kind = Kind::kHttp;
  std::string path;     // kUnix
  std::string address;  // a literal
  std::uint16_t port = 0;

  bool is_loopback() const;  // a unix socket counts as such
};

// "127.0.0.1:12434", "[::1]:0", "localhost:80", "https://0.0.0.0:443", "unix:/run/x.sock". Without
// a port: 12434 (12444 for https).
Result<Listen> parse_listen(std::string_view text);

// "http://127.0.0.1:5000", as a user would type it.
std::string shown(const http::TcpEndpoint& bound, Listen::Kind kind);

// All of the settings' listeners: socket, listen, port, tls. kInvalid for an address that is none,
// or when there would be no listener.
Result<std::vector<Listen>> plan_listeners(const config::Settings& settings,
                                           const config::Paths& paths);

// Beyond loopback a listener needs TLS and a token, or proxies that do both, or the user's word
// that it is meant. kInvalid says which of these is missing.
Status check_exposure(const std::vector<Listen>& listeners, const config::Settings& settings,
                      std::size_t tokens);

// The same of a registry beside the API: it asks for its own users, not for the API's tokens.
Status check_registry_exposure(const std::vector<Listen>& listeners,
                               const config::Settings& settings);

}  // namespace berth::daemon
