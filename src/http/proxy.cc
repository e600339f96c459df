// ProxySettings of client.h: which proxy a URL takes, by the conventions that curl and Go's
// net/http share.
#include <arpa/inet.h>
#include <array>
#include <cstdlib>
#include <cstring>

#include "http/client.h"

namespace berth::http {
namespace {

std::string variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value && *value) return value;
  }
  return "";
}

// Address bytes of a literal, IPv4 as 4 and IPv6 as 16.
std::vector<std::uint8_t> address_bytes(const std::string& literal) {
  std::vector<std::uint8_t> bytes(16);
  if (inet_pton(AF_INET6, literal.c_str(), bytes.data()) == 1) return bytes;
  bytes.resize(4);
  if (inet_pton(AF_INET, literal.c_str(), bytes.data()) == 1) return bytes;
  return {};
}

bool in_block(const std::string& host, std::string_view block) {
  const std::size_t slash = block.find('/');
  const auto bits = parse_u64(block.substr(slash + 1));
  const auto network = address_bytes(std::string(block.substr(0, slash)));
  const auto address = address_bytes(host);
  if (!bits || network.empty() || network.size() != address.size() || *bits > network.size() * 8)
    return false;
  for (std::size_t i = 0; i < *bits; ++i) {
    const int bit = 7 - static_cast<int>(i % 8);
    if (((network[i / 8] ^ address[i / 8]) >> bit & 1) != 0) return false;
  }
  return true;
}

bool excluded_by(const Url& url, std::string_view entry) {
  if (entry.empty()) return false;
  if (entry == "*") return true;
  if (entry.find('/') != std::string_view::npos) return in_block(url.host, entry);
  std::string name = to_lower(entry);
  // "host:port", unless the colons are those of an IPv6 address.
  const std::size_t colon = name.rfind(':');
  if (colon != std::string::npos && (name.find(':') == colon || name.starts_with('['))) {
    if (const auto port = parse_u64(std::string_view(name).substr(colon + 1))) {
      if (*port != url.port) return false;
      name.resize(colon);
    }
  }
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  if (name.starts_with("*.")) name.erase(0, 1);
  const std::string suffix = name.starts_with('.') ? name : "." + name;
  return url.host == name || url.host.ends_with(suffix);
}

bool is_loopback(const Url& url) {
  return url.host == "localhost" || url.host.ends_with(".localhost") ||
         classify(url.host) == AddressKind::kLoopback;
}

}  // namespace

ProxySettings ProxySettings::from_environment() {
  return {.http = variable({"http_proxy", "all_proxy", "ALL_PROXY"}),
          .https = variable({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}),
          .exclude = variable({"no_proxy", "NO_PROXY"})};
}

std::optional<std::string> ProxySettings::proxy_for(const Url& url) const {
  const std::string& proxy = url.scheme == "https" ? https : http;
  if (proxy.empty() || is_loopback(url)) return std::nullopt;
  for (const std::string& entry : split(exclude, ',')) {
    if (excluded_by(url, trim(entry))) return std::nullopt;
  }
  // With socks5:// the client would look names up itself, past our address policy.
  if (proxy.starts_with("socks5://")) return "socks5h://" + proxy.substr(9);
  return proxy;
}

}  // namespace berth::http
