#include "guard/guard.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "crypto/hash.h"

namespace berth::guard {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"read", "inference", "manage", "admin"};

}  // namespace

std::string_view to_string(Scope scope) { return kNames[static_cast<std::size_t>(scope)]; }

Result<Scope> parse_scope(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found != kNames.end()) return static_cast<Scope>(found - kNames.begin());
  return fail(Code::kInvalid,
              "there is no scope \"{}\"; there are read, inference, manage and admin",
              printable(name, 60));
}

Scopes Scopes::of(const std::vector<Scope>& scopes) {
  Scopes out;
  for (const Scope scope : scopes) {
    out.bits_ |= bit(scope) | bit(Scope::kRead);
    if (scope == Scope::kAdmin) out.bits_ |= bit(Scope::kManage) | bit(Scope::kInference);
  }
  return out;
}

Status decide(const std::optional<Principal>& principal, Scope needed) {
  if (!principal) {
    return fail(Code::kUnauthenticated,
                "this server asks for a token: send \"Authorization: Bearer berth_…\"; make one "
                "with: berth token create");
  }
  if (principal->scopes.allows(needed)) return {};
  return fail(Code::kDenied, "the token \"{}\" has no scope \"{}\", which this request needs",
              printable(principal->name, 80), to_string(needed));
}

std::optional<Principal> TokenSet::find(std::string_view token, Time now) const {
  const Token* match = find_token(token, now);
  if (!match) return std::nullopt;
  return Principal{match->name, Scopes::of(match->scopes)};
}

const Token* TokenSet::by_id(std::string_view id) const {
  const auto found = std::ranges::find(tokens_, id, &Token::id);
  return found == tokens_.end() ? nullptr : &*found;
}

const Token* TokenSet::find_token(std::string_view token, Time now) const {
  const std::string hash = crypto::hash_hex(crypto::Algorithm::kSha256, as_bytes(token));
  const Token* match = nullptr;
  for (const Token& candidate :
       tokens_) {  // no early end: the time must not tell which one matched
    if (crypto::constant_time_equal(candidate.hash, hash)) match = &candidate;
  }
  return match && match->expires && *match->expires <= now ? nullptr : match;
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size() ||
      !iequals(authorization.substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  return trim(authorization.substr(kScheme.size()));
}

}  // namespace berth::guard
