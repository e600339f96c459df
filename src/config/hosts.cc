#include "config/hosts.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/values.h"

namespace berth::config {
namespace {

constexpr std::size_t kMaxName = 260;
constexpr std::uint64_t kMaxConnections = 64;

Result<std::string> set_mirrors(RegistryHost& host, const Written& written) {
  for (const std::string& url : written.items) {
    if (url.empty()) return fail(Code::kInvalid, "expected URLs as in https://HOST[:PORT][/PATH]");
  }
  host.mirrors = written.items;
  return joined(host.mirrors);
}

Result<std::string> set_plain_http(RegistryHost& host, const Written& written) {
  TRY(const std::string value, one(written));
  if (value != "true" && value != "false") return fail(Code::kInvalid, "expected true or false");
  host.plain_http = value == "true";
  return value;
}

Result<std::string> set_connections(RegistryHost& host, const Written& written) {
  TRY(const std::string value, one(written));
  const auto count = parse_u64(value);
  if (!count || *count == 0 || *count > kMaxConnections)
    return fail(Code::kInvalid, "expected a whole number from 1 to {}", kMaxConnections);
  host.connections = *count;
  return value;
}

Result<std::string> set_limit_rate(RegistryHost& host, const Written& written) {
  TRY(const std::string value, one(written));
  const auto bytes = parse_size(value);
  if (!bytes || *bytes == 0)
    return fail(Code::kInvalid, "expected bytes a second, as in \"50MB\", not \"{}\"",
                printable(value, 60));
  host.limit_rate = *bytes;
  return fmt::format("{}", *bytes);
}

// What the protocol itself sets.
bool is_reserved(std::string_view name) {
  constexpr std::array<std::string_view, 8> kReserved = {
      "host",  "content-length", "content-type", "content-range",
      "range", "authorization",  "connection",   "transfer-encoding"};
  return std::ranges::any_of(kReserved, [&](auto reserved) { return iequals(name, reserved); });
}

Result<std::string> set_headers(RegistryHost& host, const Written& written) {
  TRY(host.headers, header_lines(written));
  for (const auto& [name, value] : host.headers) {
    if (is_reserved(name)) {
      return fail(Code::kInvalid, "the header {} is not yours to set; for a login use: berth login",
                  name);
    }
  }
  return names_of(host.headers);
}

template <std::string RegistryHost::* member>
Result<std::string> set_file(RegistryHost& host, const Written& written) {
  TRY(host.*member, one(written));
  return host.*member;
}

struct HostKey {
  std::string_view name;
  std::string_view doc;
  Result<std::string> (*set)(RegistryHost&, const Written&);
};
constexpr std::array<HostKey, 8> kKeys = {{
    {"mirrors", "mirrors of this registry, as URLs, asked in this order", set_mirrors},
    {"plain_http", "speak to it without TLS", set_plain_http},
    {"connections", "connections at once, for pulls", set_connections},
    {"limit_rate", "bytes a second with it and its mirrors", set_limit_rate},
    {"headers", "header fields for each request to it, as \"Name: value\"", set_headers},
    {"ca_file", "PEM file of further authorities for it", set_file<&RegistryHost::ca_file>},
    {"client_certificate", "PEM file of the certificate to show it",
     set_file<&RegistryHost::client_certificate>},
    {"client_key", "PEM file of that certificate's key", set_file<&RegistryHost::client_key>},
}};

}  // namespace

Result<std::string> host_name(std::string_view text) {
  std::string name = to_lower(text);
  const bool fits =
      !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               std::string_view(".-:[]_").contains(c);
      });
  if (fits) return name;
  return fail(Code::kInvalid,
              "\"{}\" is no registry; write a host name, with :port if need be, in quotes",
              printable(text, 100));
}

Result<Origin> set_host_key(RegistryHost& host, std::string_view key, const Written& written) {
  const auto* found = std::ranges::find(kKeys, key, &HostKey::name);
  if (found == kKeys.end()) {
    std::vector<std::string_view> names;
    for (const HostKey& known : kKeys) names.push_back(known.name);
    return fail(Code::kInvalid, "there is no such setting; a registry has {}",
                fmt::join(names, ", "));
  }
  TRY(std::string value, found->set(host, written));
  return Origin{.key = {}, .value = std::move(value), .source = {}, .doc = std::string(found->doc)};
}

Status check_host(const RegistryHost& host) {
  if (host.client_certificate.empty() == host.client_key.empty()) return {};
  return fail(Code::kInvalid, "client_certificate and client_key go together");
}

}  // namespace berth::config
