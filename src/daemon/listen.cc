#include "daemon/listen.h"

#include <algorithm>

#include "base/text.h"
#include "http/address.h"

namespace berth::daemon {
namespace {

constexpr std::uint16_t kHttpPort = 12434;
constexpr std::uint16_t kHttpsPort = 12444;

std::unexpected<Error> malformed(std::string_view text) {
  return fail(Code::kInvalid,
              "\"{}\" is not an address to listen on; write 127.0.0.1:12434, [::1]:12434, "
              "https://host:port or unix:/path",
              printable(text, 120));
}

// Splits "host:port", "[v6]:port" and a bare host.
bool split_authority(std::string_view text, std::string_view& host, std::string_view& port) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (text.empty()) return true;
    if (!text.starts_with(':')) return false;
    port = text.substr(1);
    return !port.empty();
  }
  const std::size_t colon = text.find(':');
  host = text.substr(0, colon);
  if (colon == std::string_view::npos) return true;
  port = text.substr(colon + 1);
  return !port.empty();
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

bool Listen::is_loopback() const {
  return kind == Kind::kUnix || http::classify(address) == http::AddressKind::kLoopback;
}

Result<Listen> parse_listen(std::string_view text) {
  std::string_view rest = text;
  Listen listen;
  if (take_prefix(rest, "unix:")) {
    if (rest.starts_with("//")) rest.remove_prefix(2);
    if (!rest.starts_with('/') || rest.size() > config::kMaxSocketPath) return malformed(text);
    listen.kind = Listen::Kind::kUnix;
    listen.path = rest;
    return listen;
  }
  if (take_prefix(rest, "https://")) {
    listen.kind = Listen::Kind::kHttps;
  } else {
    take_prefix(rest, "http://");
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  std::string_view host;
  std::string_view port;
  if (!split_authority(rest, host, port)) return malformed(text);
  listen.address = host == "localhost" ? "127.0.0.1" : std::string(host);
  if (!http::classify(listen.address)) return malformed(text);
  listen.port = listen.kind == Listen::Kind::kHttps ? kHttpsPort : kHttpPort;
  if (port.empty()) return listen;
  const auto number = parse_u64(port);
  if (!number || *number > 65535) return malformed(text);
  listen.port = static_cast<std::uint16_t>(*number);
  return listen;
}

std::string shown(const http::TcpEndpoint& bound, Listen::Kind kind) {
  const bool v6 = bound.address.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", kind == Listen::Kind::kHttps ? "https" : "http",
                     v6 ? "[" : "", bound.address, v6 ? "]" : "", bound.port);
}

Result<std::vector<Listen>> plan_listeners(const config::Settings& settings,
                                           const config::Paths& paths) {
  const auto& server = settings.server;
  std::vector<Listen> listeners;
  if (server.socket != "none")
    listeners.push_back({.kind = Listen::Kind::kUnix, .path = paths.socket});
  for (const std::string& text : server.listen) {
    TRY(Listen listen, parse_listen(text));
    listeners.push_back(std::move(listen));
  }
  if (server.port)
    listeners.push_back(
        {.kind = Listen::Kind::kHttp, .address = "127.0.0.1", .port = *server.port});
  if (server.tls)
    listeners.push_back(
        {.kind = Listen::Kind::kHttps, .address = "127.0.0.1", .port = server.tls_port});
  const bool https = std::ranges::count(listeners, Listen::Kind::kHttps, &Listen::kind) > 0;
  if (https && (server.tls_certificate.empty() || server.tls_key.empty())) {
    return fail(Code::kInvalid,
                "listening with TLS needs server.tls_certificate and server.tls_key (PEM files)");
  }
  if (listeners.empty()) {
    return fail(
        Code::kInvalid,
        "there is nothing to listen on: server.socket is \"none\" and server.listen is empty");
  }
  return listeners;
}

Status check_exposure(const std::vector<Listen>& listeners, const config::Settings& settings,
                      std::size_t tokens) {
  const auto& server = settings.server;
  for (const Listen& listen : listeners) {
    if (listen.is_loopback() || server.insecure || !server.behind_proxy.empty()) continue;
    const bool tls = listen.kind == Listen::Kind::kHttps;
    if (tls && tokens > 0) continue;
    return fail(Code::kInvalid,
                "{}:{} can be reached from other machines, so it needs TLS and a token, and there "
                "is no {}; {}, or name "
                "the proxies in front with --behind-proxy CIDR, or say --insecure",
                listen.address, listen.port, tls ? "token" : "TLS",
                tls ? "make one with: berth token create"
                    : "listen on https://… with server.tls_certificate and server.tls_key");
  }
  return {};
}

Status check_registry_exposure(const std::vector<Listen>& listeners,
                               const config::Settings& settings) {
  const auto& registry = settings.registry_server;
  if (!settings.server.registry || settings.server.insecure || !registry.htpasswd.empty() ||
      registry.tokens || !registry.behind_proxy.empty())
    return {};
  if (settings.server.require_token) {
    return fail(Code::kInvalid,
                "tokens are asked for, and the registry has no users: give it a file of them with "
                "registry_server.htpasswd (htpasswd -cB FILE NAME)");
  }
  for (const Listen& listen : listeners) {
    if (listen.is_loopback()) continue;
    return fail(Code::kInvalid,
                "{}:{} can be reached from other machines, and the registry has no users: give it "
                "a file of them with registry_server.htpasswd (htpasswd -cB FILE NAME)",
                listen.address, listen.port);
  }
  return {};
}

}  // namespace berth::daemon
