#include "api/access.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "http/address.h"
#include "rt/async.h"

namespace berth::api {
namespace {

using std::chrono::steady_clock;

// How long a revoked token may go on: the file is looked at no more often than this.
constexpr std::chrono::seconds kRefresh{1};

guard::Principal local_caller() { return {"local", guard::Scopes::all()}; }

struct Token {
  guard::TokenSet set;
  std::string stamp;
  bool changed = false;
};

Result<Token> read_tokens(const std::string& folder, const std::string& stamp) {
  const guard::TokenFile file(folder);
  Token out;
  TRY(out.stamp, file.stamp());
  if (out.stamp == stamp) return out;
  out.changed = true;
  TRY(out.set, file.load());
  return out;
}

}  // namespace

Status check_rules(const AccessRules& rules) {
  for (const std::string& network : rules.behind_proxy) TRY_OK(http::Network::parse(network));
  return {};
}

Access::Access(rt::Loop& loop, AccessRules rules) : loop_(loop) { reconfigure(std::move(rules)); }

void Access::reconfigure(AccessRules rules) {
  rules_ = std::move(rules);
  proxies_.clear();
  for (const std::string& text : rules_.behind_proxy) {
    if (auto network = http::Network::parse(text)) proxies_.push_back(*network);
  }
  refreshed_ = {};
}

bool Access::is_proxy(const std::string& peer) const {
  return std::ranges::any_of(proxies_,
                             [&](const http::Network& network) { return network.contains(peer); });
}

bool Access::needs_token(const http::Request& request) const {
  if (request.peer == "unix" || rules_.insecure || is_proxy(request.peer)) return false;
  return rules_.require_token || http::classify(request.peer) != http::AddressKind::kLoopback;
}

rt::Task<Result<std::optional<guard::Principal>>> Access::identify(rt::Op& op,
                                                                   const http::Request& request) {
  CO_TRY_OK(op.check());
  const bool local =
      request.peer == "unix" || http::classify(request.peer) == http::AddressKind::kLoopback;
  // A list that is set but empty of valid networks lets nobody in.
  if (!rules_.behind_proxy.empty() && !local && !is_proxy(request.peer)) {
    co_return fail(Code::kDenied, "this server answers only its proxies, and {} is none of them",
                   printable(request.peer, 60));
  }
  const auto header = request.headers.get("Authorization");
  const auto shown = header ? guard::bearer_token(*header) : std::nullopt;
  const std::string token(shown.value_or(""));
  if (!needs_token(request)) {
    // A token of ours limits its holder here too (a tunnel ends on loopback); stock clients send
    // dummy keys, which mean nothing.
    if (token.empty()) co_return local_caller();
    CO_TRY_OK(co_await refresh(Freshness::kOfLastSecond));
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    auto principal = tokens_.find(token, now);
    co_return principal ? std::move(principal) : local_caller();
  }
  if (token.empty()) co_return std::nullopt;
  co_return co_await find(token);
}

// A token that is not known may have been made a moment ago, so the file is looked at before it is
// refused.
rt::Task<Result<std::optional<guard::Principal>>> Access::find(std::string token) {
  for (const Freshness wanted : {Freshness::kOfLastSecond, Freshness::kNow}) {
    CO_TRY_OK(co_await refresh(wanted));
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    if (auto principal = tokens_.find(token, now)) co_return principal;
  }
  co_return std::nullopt;
}

rt::Task<Status> Access::refresh(Freshness wanted) {
  const auto now = steady_clock::now();
  const bool recent = refreshed_ != rt::SteadyTime{} && now - refreshed_ < kRefresh;
  if (recent && wanted == Freshness::kOfLastSecond) co_return Status();
  const std::string folder = rules_.tokens_folder;
  const std::string stamp = refreshed_ == rt::SteadyTime{} ? std::string("none") : stamp_;
  CO_TRY(Token read,
         co_await rt::blocking(loop_, [&folder, &stamp] { return read_tokens(folder, stamp); }));
  if (read.changed) tokens_ = std::move(read.set);
  stamp_ = std::move(read.stamp);
  refreshed_ = now;
  co_return Status();
}

}  // namespace berth::api
