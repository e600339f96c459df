#include "registryd/token_holders.h"

#include <algorithm>

#include "base/text.h"

namespace berth::registryd {
namespace {

constexpr std::chrono::seconds kRefresh{1};

guard::Time now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

bool has(const guard::Token& token, guard::Scope scope) {
  return std::ranges::find(token.scopes, scope) != token.scopes.end();
}

Holder holder_from(const guard::Token& token) {
  Holder holder{.id = token.id,
                .name = token.name,
                .owns = has(token, guard::Scope::kAdmin),
                .expires = token.expires};
  // By what was asked for: inference implies reading elsewhere, and nothing here.
  if (has(token, guard::Scope::kRead)) holder.actions.add(guard::Action::kPull);
  if (has(token, guard::Scope::kManage) || holder.owns) holder.actions = guard::Actions::all();
  return holder;
}

struct Read {
  guard::TokenSet tokens;
  std::string stamp;
  bool changed = false;
};

Result<Read> read(const std::string& folder, const std::optional<std::string>& known) {
  const guard::TokenFile file(folder);
  Read out;
  TRY(out.stamp, file.stamp());
  out.changed = out.stamp != known;
  if (!out.changed) return out;
  TRY(out.tokens, file.load());
  return out;
}

}  // namespace

rt::Task<Result<std::optional<Holder>>> TokenHolders::holder_of(rt::Op& op, std::string secret) {
  for (const Freshness wanted : {Freshness::kOfLastSecond, Freshness::kNow}) {
    CO_TRY_OK(op.check());
    CO_TRY_OK(co_await refresh(wanted));
    const guard::Token* token = tokens_.find_token(secret, now());
    // Names that stand for others than one person are nobody's.
    if (token && token->name != "*" && token->name != guard::kAnonymous)
      co_return holder_from(*token);
  }
  co_return std::nullopt;
}

rt::Task<Result<std::optional<Holder>>> TokenHolders::by_id(rt::Op& op, std::string id,
                                                            std::chrono::seconds late) {
  CO_TRY_OK(op.check());
  CO_TRY_OK(co_await refresh(Freshness::kOfLastSecond));
  const guard::Token* token = tokens_.by_id(id);
  if (!token || (token->expires && *token->expires + late <= now())) co_return std::nullopt;
  co_return holder_from(*token);
}

rt::Task<Status> TokenHolders::refresh(Freshness wanted) {
  const auto time = std::chrono::steady_clock::now();
  const bool recent = stamp_ && time - refreshed_ < kRefresh;
  if (recent && wanted == Freshness::kOfLastSecond) co_return Status();
  const std::optional<std::string> known = stamp_;
  auto found = co_await rt::blocking(loop_, [this, &known] { return read(folder_, known); });
  if (!found) {
    tokens_ = guard::TokenSet();
    stamp_.reset();
    co_return fail(Code::kCorrupt, "the tokens cannot be read: {}", found.error().message());
  }
  if (found->changed) tokens_ = std::move(found->tokens);
  stamp_ = std::move(found->stamp);
  refreshed_ = time;
  co_return Status();
}

}  // namespace berth::registryd
