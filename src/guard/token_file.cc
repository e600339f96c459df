#include <algorithm>
#include <thread>

#include "base/text.h"
#include "crypto/hash.h"
#include "guard/guard.h"
#include "json/json.h"

namespace berth::guard {
namespace {

constexpr std::string_view kFile = "tokens.json";
constexpr std::string_view kLock = "tokens.lock";
constexpr std::size_t kMaxFile = 1024 * 1024;
constexpr std::size_t kMaxTokens = 1000;
constexpr std::size_t kMaxName = 100;

// Whoever holds it does so for milliseconds.
Result<fs::Lock> lock(const fs::Dir& folder) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    TRY(auto held, fs::Lock::try_acquire(folder, kLock, fs::Lock::Mode::kExclusive));
    if (held) return std::move(*held);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return fail(Code::kConflict,
              "another process has been changing the tokens in {} for two seconds; try again",
              folder.path());
}

json::Value time_json(const std::optional<Time>& time) {
  return time ? json::Value(format_rfc3339(*time)) : json::Value(nullptr);
}

Result<std::optional<Time>> time_from(const json::View& token, std::string_view key) {
  TRY(const std::string text, token.string_or(key, ""));
  if (text.empty()) return std::nullopt;
  if (const auto time = parse_rfc3339(text)) return time;
  return fail(Code::kCorrupt, "{}.{} is not a time", token.path(), key);
}

json::Value to_json(const Token& token) {
  json::Array scopes;
  for (const Scope scope : token.scopes) scopes.emplace_back(to_string(scope));
  return json::Object{{"id", token.id},
                      {"name", token.name},
                      {"sha256", token.hash},
                      {"scopes", std::move(scopes)},
                      {"created", time_json(token.created)},
                      {"expires", time_json(token.expires)}};
}

Result<Token> token_from(const json::View& view) {
  Token token;
  TRY(token.id, view.string("id"));
  TRY(token.name, view.string("name"));
  TRY(token.hash, view.string("sha256"));
  if (token.hash.size() != 64 || !is_lower_hex(token.hash)) {
    return fail(Code::kCorrupt, "{}.sha256 is not a SHA-256", view.path());
  }
  TRY(const auto scopes, view.strings_or_empty("scopes"));
  for (const std::string& name : scopes) {
    TRY(const Scope scope, parse_scope(name));
    token.scopes.push_back(scope);
  }
  TRY(token.created, time_from(view, "created"));
  TRY(token.expires, time_from(view, "expires"));
  return token;
}

Result<std::vector<Token>> tokens_from(std::string_view text, const std::string& what) {
  TRY(const json::Value value, json::parse(text, what, {.bytes = kMaxFile, .depth = 8}));
  TRY(const auto views, json::View(value, what).array_or_empty("tokens"));
  std::vector<Token> tokens;
  for (const json::View& view : views) {
    TRY(Token token, token_from(view));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<std::vector<Scope>> parse_scopes(const std::vector<std::string>& names) {
  if (names.empty()) return std::vector{Scope::kInference, Scope::kRead};
  std::vector<Scope> scopes;
  for (const std::string& name : names) {
    TRY(const Scope scope, parse_scope(name));
    if (std::ranges::find(scopes, scope) == scopes.end()) scopes.push_back(scope);
  }
  return scopes;
}

Status check_request(const std::string& name, std::optional<std::chrono::seconds> lifetime) {
  if (name.empty() || name.size() > kMaxName || printable(name, kMaxName) != name) {
    return fail(Code::kInvalid,
                "a token's name has 1 to {} printable characters, and \"{}\" does not", kMaxName,
                printable(name, 60));
  }
  if (lifetime && (lifetime->count() <= 0 || *lifetime > std::chrono::hours(24 * 366 * 100))) {
    return fail(Code::kInvalid,
                "a token lives between one second and a hundred years, not {} seconds",
                lifetime->count());
  }
  return {};
}

}  // namespace

Result<TokenFile::Created> TokenFile::create(std::string name, std::vector<std::string> scopes,
                                             std::optional<std::chrono::seconds> lifetime,
                                             Time now) {
  TRY_OK(check_request(name, lifetime));
  Created created;
  TRY(created.token.scopes, parse_scopes(scopes));
  TRY(const fs::Dir folder, fs::Dir::create(folder_));
  TRY(const fs::Lock held, lock(folder));
  TRY(const TokenSet before, load());
  if (before.tokens().size() >= kMaxTokens) {
    return fail(Code::kExhausted,
                "there are already {} tokens; revoke some with: berth token revoke ID", kMaxTokens);
  }
  const std::string secret = "berth_" + crypto::random_hex(32);
  created.secret = Secret(secret);
  created.token.name = std::move(name);
  created.token.hash = crypto::hash_hex(crypto::Algorithm::kSha256, as_bytes(secret));
  created.token.id = created.token.hash.substr(0, 12);
  created.token.created = now;
  if (lifetime) created.token.expires = now + *lifetime;
  std::vector<Token> tokens = before.tokens();
  tokens.push_back(created.token);
  TRY_OK(save(folder, tokens));
  return created;
}

Result<std::optional<fs::Dir>> TokenFile::existing_folder() const {
  auto folder = fs::Dir::open(folder_);
  if (folder) return std::optional(std::move(*folder));
  if (folder.error().code() == Code::kNotFound) return std::nullopt;
  return std::unexpected(std::move(folder.error()));
}

Result<TokenSet> TokenFile::load() const {
  TRY(const auto folder, existing_folder());
  if (!folder) return TokenSet();
  TRY(const auto info, folder->find(kFile));
  if (!info) return TokenSet();
  const std::string what = fmt::format("{}/{}", folder_, kFile);
  if ((info->mode & 022) != 0) {
    return fail(
        Code::kDenied,
        "{} can be written by other users, who could give themselves a token; do: chmod 600 {}",
        what, what);
  }
  TRY(const std::string text, folder->read_small(kFile, kMaxFile));
  TRY(std::vector<Token> tokens, tokens_from(text, what));
  return TokenSet(std::move(tokens));
}

Result<bool> TokenFile::revoke(std::string_view id) {
  TRY(const auto folder, existing_folder());
  if (!folder) return false;
  TRY(const fs::Lock held, lock(*folder));
  TRY(const TokenSet before, load());
  std::vector<Token> tokens = before.tokens();
  if (std::erase_if(tokens, [id](const Token& token) { return token.id == id; }) == 0) return false;
  TRY_OK(save(*folder, tokens));
  return true;
}

Result<std::string> TokenFile::stamp() const {
  TRY(const auto folder, existing_folder());
  if (!folder) return std::string();
  TRY(const auto info, folder->find(kFile));
  if (!info) return std::string();
  return fmt::format("{} {} {} {}", info->inode, info->ctime_ns, info->mtime_ns, info->size);
}

Status TokenFile::save(const fs::Dir& folder, const std::vector<Token>& tokens) const {
  json::Array items;
  for (const Token& token : tokens) items.push_back(to_json(token));
  return folder.replace(
      kFile, json::pretty(json::Object{{"version", 1}, {"tokens", std::move(items)}}), 0600);
}

}  // namespace berth::guard
