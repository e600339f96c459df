#include "guard/registry_token.h"

#include <algorithm>

#include "base/text.h"
#include "crypto/hash.h"
#include "json/json.h"

namespace berth::guard {
namespace {

constexpr std::size_t kLongest = 16 * 1024;
constexpr std::string_view kHeader = R"({"alg":"HS256","typ":"JWT"})";
constexpr std::string_view kIssuer = "berth";

std::string base64url(std::string_view text) {
  std::string out = base64_encode(as_bytes(text));
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  while (out.ends_with('=')) out.pop_back();
  return out;
}

std::int64_t seconds(std::chrono::sys_seconds time) {
  return static_cast<std::int64_t>(time.time_since_epoch().count());
}

json::Array names_of(const Actions& actions) {
  json::Array names;
  for (int i = 0; i < kActionCount; ++i) {
    const auto action = static_cast<Action>(i);
    if (actions.allows(action)) names.emplace_back(to_string(action));
  }
  return names;
}

json::Array access_of(const RegistryToken& token) {
  json::Array access;
  for (const Access& entry : token.access) {
    access.push_back(json::Object{
        {"type", "repository"}, {"name", entry.repository}, {"actions", names_of(entry.actions)}});
  }
  if (token.catalog) {
    access.push_back(
        json::Object{{"type", "registry"}, {"name", "catalog"}, {"actions", json::Array{"*"}}});
  }
  return access;
}

Status read_access(const json::View& view, RegistryToken& token) {
  TRY(const auto entries, view.array_or_empty("access"));
  for (const json::View& entry : entries) {
    TRY(const std::string type, entry.string("type"));
    if (type == "registry") {
      token.catalog = true;
      continue;
    }
    Access access;
    TRY(access.repository, entry.string("name"));
    TRY(const auto names, entry.strings_or_empty("actions"));
    for (const std::string& name : names) {
      TRY(const Action action, parse_action(name));
      access.actions.add(action);
    }
    token.access.push_back(std::move(access));
  }
  return {};
}

Result<RegistryToken> read_claims(std::string_view text, std::string_view service) {
  TRY(const json::Value value, json::parse(text, "token", {.bytes = kLongest}));
  const json::View view(value, "token");
  TRY(const std::string audience, view.string("aud"));
  if (audience != service) return fail(Code::kInvalid, "the token is for another service");
  RegistryToken token;
  TRY(token.subject, view.string("sub"));
  TRY(const std::int64_t issued, view.i64_or("iat", 0));
  TRY(const std::int64_t expires, view.i64_or("exp", 0));
  token.issued = std::chrono::sys_seconds(std::chrono::seconds(issued));
  token.expires = std::chrono::sys_seconds(std::chrono::seconds(expires));
  TRY(token.credential, view.string_or("berth_token", ""));
  TRY_OK(read_access(view, token));
  return token;
}

Actions actions_asked(std::string_view words) {
  Actions actions;
  for (const std::string& word : split(words, ',')) {
    if (word == "pull") actions.add(Action::kPull);
    if (word == "push") actions.add(Actions::of({Action::kPush, Action::kMove}));
    if (word == "delete") actions.add(Action::kDelete);
    if (word == "*") actions.add(Actions::all());
  }
  return actions;
}

}  // namespace

Actions RegistryToken::of(std::string_view repository) const {
  Actions actions;
  for (const Access& entry : access)
    if (entry.repository == repository) actions.add(entry.actions);
  return actions;
}

std::string sign(const RegistryToken& token, std::string_view service, std::string_view key) {
  json::Object claims{{"iss", kIssuer},
                      {"sub", token.subject},
                      {"aud", service},
                      {"iat", seconds(token.issued)},
                      {"nbf", seconds(token.issued)},
                      {"exp", seconds(token.expires)},
                      {"jti", crypto::random_hex(16)},
                      {"access", access_of(token)}};
  if (!token.credential.empty()) claims["berth_token"] = token.credential;
  const std::string body = base64url(kHeader) + "." + base64url(json::serialize(claims));
  return body + "." + base64url(crypto::hmac_sha256(key, body));
}

std::optional<RegistryToken> verify(std::string_view text, std::string_view service,
                                    std::string_view key) {
  if (text.size() > kLongest) return std::nullopt;
  const std::size_t last = text.rfind('.');
  if (last == std::string_view::npos) return std::nullopt;
  const std::string_view body = text.substr(0, last);
  // The signature first: nothing of what a stranger wrote is parsed.
  if (!crypto::constant_time_equal(base64url(crypto::hmac_sha256(key, body)),
                                   text.substr(last + 1)))
    return std::nullopt;
  const auto claims = base64_decode(body.substr(body.find('.') + 1));
  if (!claims) return std::nullopt;
  auto token = read_claims(*claims, service);
  if (!token) return std::nullopt;
  return std::move(*token);
}

std::optional<Asked> parse_scope_request(std::string_view text) {
  const std::size_t first = text.find(':');
  const std::size_t last = text.rfind(':');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  const std::string_view type = text.substr(0, first);
  const std::string_view name = text.substr(first + 1, last - first - 1);
  if (type == "registry" && name == "catalog") return Asked{.catalog = true};
  if (type != "repository" && !type.starts_with("repository(")) return std::nullopt;
  return Asked{
      .access = {.repository = std::string(name), .actions = actions_asked(text.substr(last + 1))}};
}

}  // namespace berth::guard
