#include "remote/authorizer.h"

#include <algorithm>
#include <array>

#include "json/json.h"
#include "remote/failure.h"
#include "remote/field.h"

namespace berth::remote {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kMaxTokenAnswer = 256 * 1024;
constexpr std::size_t kMaxTokens = 64;
constexpr std::string_view kClientId = "berth";

// Registries whose token server is known to be elsewhere.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kKnownTokenHosts = {{
    {"docker.io", "auth.docker.io"},
    {"registry.gitlab.com", "gitlab.com"},
}};

bool is_known_token_host(std::string_view registry, std::string_view host) {
  return std::ranges::any_of(kKnownTokenHosts, [&](const auto& row) {
    return row.first == registry && row.second == host;
  });
}

Secret basic_value(const std::string& user, const Secret& password) {
  const std::string pair = user + ":" + password.reveal();
  return Secret("Basic " + base64_encode(as_bytes(pair)));
}

void add_field(std::string& query, std::string_view name, std::string_view value) {
  query += fmt::format("{}{}={}", query.empty() ? "" : "&", name, http::percent_encode(value));
}

bool is_token_text(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

// A token's own answer is a secret: no part of it goes into a message.
struct TokenAnswer {
  std::string token;
  std::string refresh_token;
  seconds lifetime{60};
};
Result<TokenAnswer> parse_token(const std::string& body, std::string_view host) {
  const auto bad = [&] {
    return fail(Code::kCorrupt, "the token server {} answered with something that is no token",
                host);
  };
  const auto value = json::parse(body, "token", {.bytes = kMaxTokenAnswer, .depth = 16});
  if (!value || !value->is_object()) return bad();
  const json::View view(*value, "token");
  auto token = view.string_or("token", "");
  if (token && token->empty()) token = view.string_or("access_token", "");
  auto refresh = view.string_or("refresh_token", "");
  const auto lifetime = view.i64_or("expires_in", 60);
  if (!token || !refresh || !lifetime || !is_token_text(*token)) return bad();
  return TokenAnswer{.token = std::move(*token),
                     .refresh_token = std::move(*refresh),
                     .lifetime = seconds(std::clamp<std::int64_t>(*lifetime, 10, 24 * 3600))};
}

http::Request get_request(http::Url realm, const std::string& service, const ScopeSet& scopes) {
  if (!service.empty()) add_field(realm.query, "service", service);
  for (const std::string& scope : scopes.strings()) add_field(realm.query, "scope", scope);
  http::Request request;
  request.url = std::move(realm);
  return request;
}

http::Request refresh_request(http::Url realm, const std::string& service, const ScopeSet& scopes,
                              const Secret& token) {
  std::string form;
  add_field(form, "grant_type", "refresh_token");
  add_field(form, "service", service);
  add_field(form, "client_id", kClientId);
  if (!scopes.empty()) add_field(form, "scope", scopes.string());
  add_field(form, "refresh_token", token.reveal());
  http::Request request;
  request.method = "POST";
  request.url = std::move(realm);
  request.headers.set("Content-Type", "application/x-www-form-urlencoded");
  request.body = std::move(form);
  return request;
}

Error token_refused(int status, const std::string& registry, bool with_login,
                    const http::Headers& headers) {
  if (status == 429 || status >= 500)
    return answer_error("cannot get a token", registry, status, headers, "");
  if (!with_login) {
    return Error(
        Code::kUnauthenticated,
        fmt::format("{} gives no token to anonymous callers (HTTP {}); log in with: berth login {}",
                    registry, status, registry));
  }
  return Error(Code::kUnauthenticated, fmt::format("the user name or password for {} was refused "
                                                   "(HTTP {}); log in again with: berth login {}",
                                                   registry, status, registry));
}

}  // namespace

const Authorizer::Token* Authorizer::token_for(const ScopeSet& scopes) {
  const auto now = now_by(settings_.retry);
  std::erase_if(tokens_, [&](const Token& token) { return token.renew_at <= now; });
  const auto found = std::ranges::find_if(
      tokens_, [&](const Token& token) { return token.scopes.covers(scopes); });
  return found == tokens_.end() ? nullptr : &*found;
}

void Authorizer::keep(Token token) {
  if (tokens_.size() >= kMaxTokens) tokens_.erase(tokens_.begin());
  tokens_.push_back(std::move(token));
}

void Authorizer::forget(const Secret& sent) {
  std::erase_if(tokens_, [&](const Token& token) {
    return "Bearer " + token.value.reveal() == sent.reveal();
  });
}

Task<Result<std::optional<Credential>>> Authorizer::credential(rt::Op& op, std::string repository) {
  if (const auto kept = credentials_.find(repository); kept != credentials_.end())
    co_return kept->second;
  if (settings_.credentials == nullptr) co_return std::nullopt;
  CO_TRY(auto found, co_await settings_.credentials->find(op, settings_.registry, repository));
  credentials_.insert_or_assign(repository, found);
  co_return found;
}

Task<Result<Secret>> Authorizer::authorization(rt::Op& op, std::string repository,
                                               ScopeSet scopes) {
  switch (mode_) {
    case Mode::kOpen:
      co_return Secret();
    case Mode::kBasic:
      co_return co_await basic(op, std::move(repository));
    case Mode::kBearer:
      co_return co_await bearer(op, std::move(repository), std::move(scopes));
  }
  co_return Secret();
}

Task<Result<Secret>> Authorizer::basic(rt::Op& op, std::string repository) {
  CO_TRY(const auto login, co_await credential(op, repository));
  if (!login || login->user.empty()) co_return Secret();
  co_return basic_value(login->user,
                        login->password.empty() ? login->identity_token : login->password);
}

Task<Result<Secret>> Authorizer::bearer(rt::Op& op, std::string repository, ScopeSet scopes) {
  CO_TRY(const auto login, co_await credential(op, repository));
  if (login && !login->registry_token.empty())
    co_return Secret("Bearer " + login->registry_token.reveal());
  CO_TRY_OK(co_await join_or_fetch(op, repository, scopes));
  const Token* token = token_for(scopes);
  if (token == nullptr)
    co_return fail(Code::kCorrupt, "the token server of {} gave a token that is not valid",
                   settings_.registry);
  co_return Secret("Bearer " + token->value.reveal());
}

Task<Status> Authorizer::join_or_fetch(rt::Op& op, std::string repository, ScopeSet scopes) {
  const std::string key = repository + " " + scopes.string();
  while (true) {
    if (token_for(scopes) != nullptr) co_return Status();
    const auto found = flights_.find(key);
    if (found == flights_.end()) break;
    const std::shared_ptr<Flight> other = found->second;
    while (!other->finished) CO_TRY_OK(co_await other->done.wait(op));
    // A leader that was cancelled says nothing about the token: the next waiter leads.
    const bool gave_up = other->failure && (other->failure->code() == Code::kCancelled ||
                                            other->failure->code() == Code::kTimeout);
    if (other->failure && !gave_up) co_return std::unexpected(*other->failure);
  }
  const auto flight = std::make_shared<Flight>(loop_);
  flights_[key] = flight;
  auto token = co_await fetch_token(op, repository, scopes);
  flights_.erase(key);
  flight->finished = true;
  if (!token) flight->failure = token.error();
  if (token) keep(std::move(*token));
  flight->done.notify_all();
  if (flight->failure) co_return std::unexpected(*flight->failure);
  co_return Status();
}

http::Request Authorizer::token_request(const std::optional<Credential>& login, Grant grant,
                                        const ScopeSet& scopes) const {
  if (grant == Grant::kRefresh)
    return refresh_request(realm_, service_, scopes, login->identity_token);
  http::Request request = get_request(realm_, service_, scopes);
  if (login) {
    const Secret& password = login->password.empty() ? login->identity_token : login->password;
    request.headers.set("Authorization", basic_value(login->user, password).reveal());
  }
  return request;
}

Task<Result<http::Response>> Authorizer::ask_token_server(rt::Op& op,
                                                          std::optional<Credential> login,
                                                          Grant grant, ScopeSet scopes) {
  http::Request request = token_request(login, grant, scopes);
  auto response = user_allows(realm_.host) ? co_await wire_.send_named(op, std::move(request))
                                           : co_await wire_.send(op, std::move(request));
  co_return in_context(std::move(response), "cannot get a token for " + settings_.registry);
}

Task<Result<Authorizer::Token>> Authorizer::fetch_token(rt::Op& op, std::string repository,
                                                        ScopeSet scopes) {
  CO_TRY(const auto login, co_await credential(op, repository));
  Grant grant = login && !login->identity_token.empty() ? Grant::kRefresh : Grant::kPassword;
  const auto asked_at = now_by(settings_.retry);
  CO_TRY(http::Response response, co_await ask_token_server(op, login, grant, scopes));
  if (grant == Grant::kRefresh && (response.status == 404 || response.status == 405)) {
    grant = Grant::kPassword;  // an old server that knows no OAuth2 form
    CO_TRY(response, co_await ask_token_server(op, login, grant, scopes));
  }
  if (response.status != 200) {
    co_return std::unexpected(
        token_refused(response.status, settings_.registry, login.has_value(), response.headers));
  }
  CO_TRY(const std::string body,
         co_await http::read_all(op, std::move(response.body), kMaxTokenAnswer));
  CO_TRY(TokenAnswer answer, parse_token(body, realm_.authority()));
  const auto kept = credentials_.find(repository);
  if (grant == Grant::kRefresh && !answer.refresh_token.empty() && kept != credentials_.end() &&
      kept->second) {
    kept->second->identity_token = Secret(std::move(answer.refresh_token));
  }
  const seconds margin = std::min(seconds(10), answer.lifetime / 4);
  co_return Token{.scopes = scopes,
                  .value = Secret(std::move(answer.token)),
                  .renew_at = asked_at + answer.lifetime - margin};
}

bool Authorizer::user_allows(const std::string& host) const {
  return std::ranges::find(settings_.token_hosts, host) != settings_.token_hosts.end();
}

Status Authorizer::learn_bearer(const Challenge& challenge) {
  const auto realm = http::parse_url(challenge.param("realm"));
  if (!realm) {
    return fail(Code::kCorrupt,
                "cannot log in to {}: the address of its token server is no URL: {}",
                settings_.registry, printable(challenge.param("realm"), 200));
  }
  const bool own = realm->host == wire_.base().host;
  if (!own && !is_known_token_host(settings_.registry, realm->host) && !user_allows(realm->host)) {
    return fail(Code::kDenied,
                "cannot log in to {0}: it wants the login sent to another host, {1}; if that is "
                "its token server, allow it in "
                "config.toml with token_hosts = [\"{0}={1}\"] under [registry]",
                settings_.registry, printable(realm->host, 200));
  }
  const bool as_safe = realm->scheme == "https" || (own && wire_.base().scheme == "http");
  if (!as_safe) {
    return fail(Code::kDenied, "cannot log in to {}: its token server {} is not reached by https",
                settings_.registry, printable(realm->authority(), 200));
  }
  realm_ = *realm;
  service_ = challenge.param("service");
  mode_ = Mode::kBearer;
  return {};
}

Task<Result<bool>> Authorizer::challenged(rt::Op& op, http::Headers headers, std::string repository,
                                          ScopeSet scopes, Secret sent) {
  forget(sent);
  // Somebody else renewed the token while this request was under way.
  if (mode_ == Mode::kBearer && !scopes.empty() && token_for(scopes) != nullptr) co_return true;
  const auto challenges = parse_challenges(headers.get_all("WWW-Authenticate"));
  const auto bearer_asked = std::ranges::find(challenges, "bearer", &Challenge::scheme);
  const bool basic_asked =
      std::ranges::find(challenges, "basic", &Challenge::scheme) != challenges.end();
  if (bearer_asked != challenges.end()) {
    const Status learned = learn_bearer(*bearer_asked);
    if (learned)
      co_return co_await renew_bearer(op, repository, scopes, bearer_asked->param("scope"), sent);
    if (!basic_asked) co_return std::unexpected(learned.error());
  }
  if (!basic_asked) co_return false;
  if (sent.reveal().starts_with("Basic ")) {
    credentials_.clear();  // a helper may give a fresh one next time
    co_return false;
  }
  mode_ = Mode::kBasic;
  CO_TRY(const Secret value, co_await basic(op, repository));
  co_return !value.empty();
}

Task<Result<bool>> Authorizer::renew_bearer(rt::Op& op, std::string repository, ScopeSet scopes,
                                            std::string asked, Secret sent) {
  CO_TRY(const auto login, co_await credential(op, repository));
  if (login && !login->registry_token.empty()) co_return sent.empty();
  // The challenge may name the scope otherwise than we do (a mirror under a prefix), so both are
  // asked for.
  scopes.add_text(asked);
  CO_TRY_OK(co_await join_or_fetch(op, repository, scopes));
  co_return true;
}

}  // namespace berth::remote
