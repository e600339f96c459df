// The URL half of message.h: a total parser (RFC 3986, with WHATWG's rule that a host which ends in
// a number is an IPv4 address or an error), resolution and percent coding. Strict where curl, a
// proxy and a server could disagree.
#include <algorithm>
#include <arpa/inet.h>
#include <array>

#include "http/message.h"

namespace berth::http {
namespace {

constexpr std::size_t kLongestUrl = 16 * 1024;
constexpr std::size_t kLongestHost = 253;
constexpr std::size_t kLongestLabel = 63;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_unreserved(char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_escaped(std::string& text, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  text += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
}

std::uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

std::unexpected<Error> bad_url(std::string_view text, std::string_view why) {
  return fail(Code::kInvalid, "\"{}\" is not a usable URL: {}", printable(text, 200), why);
}

// "" when the host is fine. It is lower case.
std::string_view fault_of_name(std::string_view host) {
  if (host.empty()) return "it has no host";
  if (host.size() > kLongestHost) return "its host is too long";
  const auto labels = split(host.ends_with('.') ? host.substr(0, host.size() - 1) : host, '.');
  for (const std::string& label : labels) {
    if (label.empty() || label.size() > kLongestLabel)
      return "its host has an empty or too long part";
    if (!std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-' || c == '_'; })) {
      return "its host has a character that hosts do not have";
    }
  }
  // Resolvers read "127.1", "0x7f.1" and "2130706433" as addresses, address checks do not: one
  // spelling only.
  const std::string& last = labels.back();
  const bool numeric = std::ranges::all_of(last, is_digit) || last.starts_with("0x");
  in_addr address{};
  if (numeric && inet_pton(AF_INET, std::string(host).c_str(), &address) != 1) {
    return "its host is no name and no IPv4 address in the usual form";
  }
  return "";
}

// Splits "host[:port]" or "[v6][:port]" into `url`; "" when it is fine.
std::string_view fault_of_authority(std::string_view text, Url& url) {
  if (text.find('@') != std::string_view::npos)
    return "a user name or password does not belong in it";
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return "its IPv6 address does not end";
    in6_addr address{};
    if (inet_pton(AF_INET6, std::string(text.substr(1, close - 1)).c_str(), &address) != 1) {
      return "its IPv6 address is malformed";
    }
    std::array<char, INET6_ADDRSTRLEN> canonical{};
    url.host = inet_ntop(AF_INET6, &address, canonical.data(), canonical.size());
    port = text.substr(close + 1);
    if (!port.empty() && port.front() != ':') return "something follows its IPv6 address";
  } else {
    const std::size_t colon = text.find(':');
    url.host = to_lower(text.substr(0, colon));
    if (const auto fault = fault_of_name(url.host); !fault.empty()) return fault;
    port = colon == std::string_view::npos ? "" : text.substr(colon);
  }
  url.port = default_port(url.scheme);
  if (port.size() <= 1) return "";
  const auto number = parse_u64(port.substr(1));
  if (!number || *number == 0 || *number > 65535) return "its port is not a number from 1 to 65535";
  url.port = static_cast<std::uint16_t>(*number);
  return "";
}

// Bytes above ASCII are sent as escapes: servers disagree about them otherwise.
std::string ascii_only(std::string_view text) {
  std::string ascii;
  ascii.reserve(text.size());
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      append_escaped(ascii, c);
    } else {
      ascii.push_back(c);
    }
  }
  return ascii;
}

// "/path?query#fragment"; the fragment is dropped.
void take_path(std::string_view text, Url& url) {
  text = text.substr(0, text.find('#'));
  const std::size_t mark = text.find('?');
  url.path = ascii_only(text.substr(0, mark));
  if (url.path.empty()) url.path = "/";
  url.query = mark == std::string_view::npos ? "" : ascii_only(text.substr(mark + 1));
}

bool printable_ascii_or_high(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte != 0x7F;
}

// "http", "HTTPS" -> lower case; nullopt for a relative reference.
std::optional<std::string> scheme_of(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const std::string_view scheme = text.substr(0, colon);
  const bool valid = std::ranges::all_of(
      scheme, [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; });
  if (!valid || is_digit(scheme.front())) return std::nullopt;
  return to_lower(scheme);
}

// RFC 3986 section 5.2.4 on an absolute path.
std::string without_dots(std::string_view path) {
  std::vector<std::string> kept;
  const auto parts = split(path.substr(1), '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (parts[i] == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (parts[i] != ".") {
      kept.push_back(parts[i]);
      continue;
    }
    if (last) kept.emplace_back();  // "/a/.." is the folder "/"
  }
  std::string joined;
  for (const std::string& part : kept) joined += "/" + part;
  return joined.empty() ? "/" : joined;
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kLongestUrl) return bad_url(text, "it is too long");
  if (!std::ranges::all_of(text, printable_ascii_or_high)) {
    return bad_url(text, "it has a space or a control character");
  }
  Url url;
  if (text.starts_with('/')) {
    take_path(text, url);
    return url;
  }
  const auto scheme = scheme_of(text);
  if (!scheme) return bad_url(text, "it has no scheme; write https://…");
  if (*scheme != "http" && *scheme != "https")
    return bad_url(text, "only http and https are known here");
  url.scheme = *scheme;
  std::string_view rest = text.substr(scheme->size() + 1);
  if (!rest.starts_with("//")) return bad_url(text, "\"//\" is missing after the scheme");
  rest.remove_prefix(2);
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view fault = fault_of_authority(rest.substr(0, end), url);
  if (!fault.empty()) return bad_url(text, fault);
  take_path(rest.substr(end), url);
  return url;
}

Result<Url> resolve_url(const Url& base, std::string_view reference) {
  const std::string_view bare = reference.substr(0, reference.find('#'));
  if (bare.starts_with("//")) return parse_url(base.scheme + ":" + std::string(bare));
  if (scheme_of(bare)) {
    TRY(Url url, parse_url(bare));
    url.path = without_dots(url.path);
    return url;
  }
  if (bare.empty()) return base;
  // A relative reference is made an origin-form URL, parsed, and put on the base's origin.
  std::string target(bare);
  if (bare.front() == '?') {
    target = base.path + target;
  } else if (bare.front() != '/') {
    target = base.path.substr(0, base.path.rfind('/') + 1) + target;
  }
  TRY(Url url, parse_url(target));
  url.path = without_dots(url.path);
  url.scheme = base.scheme;
  url.host = base.host;
  url.port = base.port;
  return url;
}

std::string Url::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != 0 && port != default_port(scheme)) text += ":" + std::to_string(port);
  return text;
}

std::string Url::to_string() const {
  std::string text = host.empty() ? "" : scheme + "://" + authority();
  text += path;
  if (!query.empty()) text += "?" + query;
  return text;
}

bool Url::same_origin(const Url& other) const {
  return scheme == other.scheme && host == other.host && port == other.port;
}

std::string percent_encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (is_unreserved(c)) {
      encoded.push_back(c);
    } else {
      append_escaped(encoded, c);
    }
  }
  return encoded;
}

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = i + 2 < text.size() && text[i] == '%' ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low < 0) {
      decoded.push_back(text[i]);
      continue;
    }
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

std::vector<std::string> query_get_all(std::string_view query, std::string_view name) {
  std::vector<std::string> values;
  const auto decoded = [](std::string_view text) {
    std::string spaced(text);
    std::ranges::replace(spaced, '+', ' ');
    return percent_decode(spaced);
  };
  for (const std::string& pair : split(query, '&')) {
    const std::size_t equals = pair.find('=');
    if (decoded(std::string_view(pair).substr(0, equals)) != name) continue;
    const bool bare = equals == std::string::npos;
    values.push_back(bare ? "" : decoded(std::string_view(pair).substr(equals + 1)));
  }
  if (query.empty()) values.clear();
  return values;
}

std::optional<std::string> query_get(std::string_view query, std::string_view name) {
  auto values = query_get_all(query, name);
  if (values.empty()) return std::nullopt;
  return std::move(values.front());
}

}  // namespace berth::http
