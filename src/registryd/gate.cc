#include "registryd/gate.h"

#include <algorithm>

#include "base/text.h"
#include "crypto/hash.h"
#include "http/forwarded.h"
#include "json/json.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kService = "berth-registry";
constexpr std::chrono::seconds kLifetime{300};
// What began with a token may go on for so long after it ran out.
constexpr std::chrono::hours kLate{24};
constexpr std::chrono::minutes kRemembered{1};
constexpr std::chrono::minutes kSignatureLife{5};  // clocks differ
// Of an address without credentials: the slowest part of a large blob takes its time.
constexpr std::chrono::hours kOpenFor{6};
constexpr std::size_t kRememberedAtMost = 1000;
constexpr std::size_t kMostScopes = 32;
constexpr std::uint64_t kMostForm = 64 * 1024;

std::chrono::sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

struct Credentials {
  std::string user;
  Secret password;
};

std::optional<std::string_view> after_scheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || !iequals(header.substr(0, scheme.size()), scheme) ||
      header[scheme.size()] != ' ')
    return std::nullopt;
  return trim(header.substr(scheme.size() + 1));
}

std::optional<Credentials> basic_of(const http::Request& request) {
  const auto header = request.headers.get("Authorization");
  const auto coded = header ? after_scheme(*header, "Basic") : std::nullopt;
  const auto text = coded ? base64_decode(*coded) : std::nullopt;
  const std::size_t colon = text ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return Credentials{.user = text->substr(0, colon), .password = Secret(text->substr(colon + 1))};
}

bool is_token(std::string_view secret) { return secret.starts_with(guard::kTokenPrefix); }

std::unexpected<Error> wrong() {
  return fail(Code::kUnauthenticated, "the user name or the password is wrong");
}

}  // namespace

guard::Actions Caller::at_most(std::string_view repository) const {
  if (everything) return guard::Actions::all();
  const guard::Actions allowed = rules->of(subject, repository);
  return holder ? allowed.common(holder->actions) : allowed;
}

guard::Actions Caller::of(std::string_view repository) const {
  const guard::Actions allowed = at_most(repository);
  return token ? allowed.common(token->of(repository)) : allowed;
}

guard::Actions Caller::anywhere() const {
  if (everything) return guard::Actions::all();
  const guard::Actions allowed = rules->anywhere(subject);
  return holder ? allowed.common(holder->actions) : allowed;
}

guard::Actions Caller::everywhere() const {
  if (everything) return guard::Actions::all();
  if (!may_own()) return {};
  // A token for the whole registry is asked for with the catalog's scope.
  return token && !token->catalog ? guard::Actions() : rules->everywhere(subject);
}

bool Caller::sees(std::string_view repository) const {
  if (token && token->catalog) return at_most(repository).allows(guard::Action::kPull);
  return of(repository).allows(guard::Action::kPull);
}

Result<std::unique_ptr<Gate>> Gate::open(rt::Loop& loop, GateSettings settings) {
  std::unique_ptr<Gate> gate(new Gate(loop, std::move(settings)));
  if (!gate->settings_.tokens.empty()) gate->holders_.emplace(loop, gate->settings_.tokens);
  TRY_OK(gate->reload());
  for (const std::string& text : gate->settings_.behind_proxy) {
    TRY(const http::Network network, http::Network::parse(text));
    gate->proxies_.push_back(network);
  }
  std::vector<std::string> rules = gate->settings_.rules;
  if (rules.empty()) rules.emplace_back("* * **");
  if (gate->settings_.anonymous_pull) rules.emplace_back("anonymous pull **");
  TRY(gate->permissions_, guard::Permissions::parse(rules));
  return gate;
}

Status Gate::reload() {
  if (!settings_.htpasswd.empty()) {
    TRY(guard::Htpasswd users, guard::Htpasswd::load(settings_.htpasswd));
    users_ = std::make_shared<const guard::Htpasswd>(std::move(users));
    right_.clear();
  }
  if (asks() && !settings_.ollama_keys.empty()) {
    TRY(signers_, guard::Signers::load(settings_.ollama_keys));
  }
  return {};
}

bool Gate::is_proxy(std::string_view peer) const { return http::is_in(peer, proxies_); }

std::string Gate::address_of(const http::Request& request) const {
  return http::client_address(request, proxies_);
}

std::string Gate::client_of(const http::Request& request, const Caller* caller) const {
  const bool known = caller && caller->subject != guard::kAnonymous;
  return known ? "user " + caller->subject : network_of(request);
}

Caller Gate::caller_of(std::string subject) const {
  return {.subject = std::move(subject), .rules = &permissions_};
}

rt::Task<Result<Caller>> Gate::identify(rt::Op& op, const http::Request& request, Late late) {
  if (!proxies_.empty() && !is_proxy(request.peer)) {
    co_return fail(Code::kDenied, "only the proxies in front of this registry may call it");
  }
  if (!asks()) {
    const auto user = proxies_.empty() ? std::nullopt : request.headers.get("X-Forwarded-User");
    co_return Caller{.subject = user ? printable(*user, 100) : std::string(guard::kAnonymous),
                     .everything = true};
  }
  if (!request.headers.get("Authorization")) co_return caller_of(std::string(guard::kAnonymous));
  // Counted apart: whoever guesses keeps nobody else at that address from anything but logging in.
  const std::string guesser = "a login from " + network_of(request);
  CO_TRY_OK(limits_.check_requests(guesser, std::chrono::steady_clock::now()));
  auto caller = co_await who(op, request, late);
  if (!caller && caller.error().code() == Code::kUnauthenticated) CO_TRY_OK(admit(guesser));
  co_return caller;
}

rt::Task<Result<Caller>> Gate::who(rt::Op& op, const http::Request& request, Late late) {
  const std::string_view header = request.headers.get("Authorization").value_or("");
  if (const auto text = after_scheme(header, "Bearer"))
    co_return co_await bearer(op, std::string(*text), late);
  auto basic = basic_of(request);
  if (!basic) co_return fail(Code::kUnauthenticated, "Basic or Bearer credentials are expected");
  co_return co_await log_in(op, std::move(basic->user), std::move(basic->password));
}

rt::Task<Result<std::optional<Caller>>> Gate::holder_of(rt::Op& op, std::string secret) {
  CO_TRY(auto holder, co_await holders_->holder_of(op, std::move(secret)));
  if (!holder) co_return std::nullopt;
  if (holder->actions.none()) {
    co_return fail(Code::kDenied, "the token {} has no scope for a registry: read, manage or admin",
                   printable(holder->name, 80));
  }
  Caller caller = caller_of(holder->name);
  caller.holder = std::move(holder);
  co_return caller;
}

rt::Task<Result<Caller>> Gate::bearer(rt::Op& op, std::string text, Late late) {
  if (holders_ && is_token(text)) {
    CO_TRY(auto caller, co_await holder_of(op, std::move(text)));
    if (!caller) co_return fail(Code::kUnauthenticated, "the token is not known (any more)");
    co_return std::move(*caller);
  }
  const auto slack = late == Late::kAccept ? kLate : std::chrono::hours(0);
  auto token = guard::verify(text, kService, settings_.key);
  if (!token || now() > token->expires + slack)
    co_return fail(Code::kUnauthenticated, "the token is not valid (any more)");
  Caller caller = caller_of(token->subject);
  if (!token->credential.empty()) {
    // It has no more force than what it was given for has now.
    if (holders_) {
      CO_TRY(caller.holder, co_await holders_->by_id(op, token->credential, slack));
    }
    if (!caller.holder || caller.holder->name != token->subject)
      co_return fail(Code::kUnauthenticated, "the token it was given for is revoked or expired");
  }
  caller.token = std::move(token);
  co_return caller;
}

// A token as a password is for its own name only.
rt::Task<Result<Caller>> Gate::log_in(rt::Op& op, std::string user, Secret password) {
  if (holders_ && is_token(password.reveal())) {
    CO_TRY(auto caller, co_await holder_of(op, password.reveal()));
    if (caller && caller->subject == user) co_return std::move(*caller);
    if (caller) co_return wrong();
  }
  const bool right = co_await is_right(op, user, std::move(password));
  CO_TRY_OK(op.check());
  if (!right) co_return wrong();
  co_return caller_of(std::move(user));
}

rt::Task<bool> Gate::is_right(rt::Op& op, std::string user, Secret password) {
  if (!users_) co_return false;
  // Keyed, so that what is remembered is of no use elsewhere.
  const std::string mark =
      crypto::hmac_sha256(settings_.key, fmt::format("{}:{}", user, password.reveal()));
  const auto time = std::chrono::steady_clock::now();
  if (const auto known = right_.find(mark); known != right_.end() && known->second > time)
    co_return true;
  const auto permit = co_await checks_.acquire(op);
  if (!permit) co_return false;
  const auto users = users_;
  const bool right = co_await rt::blocking(
      loop_, [&users, &user, &password] { return users->is_right(user, password); });
  if (!right) co_return false;
  if (right_.size() >= kRememberedAtMost) right_.clear();
  right_.insert_or_assign(mark, time + kRemembered);
  co_return true;
}

std::string Gate::origin_of(const http::Request& request) const {
  const auto forwarded = is_proxy(request.peer) ? request.headers.get("X-Forwarded-Proto")
                                                : std::optional<std::string_view>();
  const bool https = request.secure || (forwarded && *forwarded == "https");
  return fmt::format("{}://{}", https ? "https" : "http",
                     request.headers.get("Host").value_or("localhost"));
}

std::string Gate::realm_of(const http::Request& request) const {
  return origin_of(request).append(kTokenPath);
}

// Ollama signs "GET,<address>,<base64 of the hex of SHA-256 of nothing>"; the address has the time.
std::optional<std::string> Gate::signer_of(const http::Request& request) const {
  const auto header = request.headers.get("Authorization");
  const auto time = parse_u64(http::query_get(request.url.query, "ts").value_or(""));
  if (!signers_ || !header || !time) return std::nullopt;
  const auto signed_at = std::chrono::sys_seconds(
      std::chrono::seconds(static_cast<std::int64_t>(std::min<std::uint64_t>(*time, INT32_MAX))));
  if (signed_at < now() - kSignatureLife || signed_at > now() + kSignatureLife) return std::nullopt;
  const std::string nothing = crypto::hash_hex(crypto::Algorithm::kSha256, {});
  return signers_->signer(*header, fmt::format("GET,{}?{},{}", realm_of(request), request.url.query,
                                               base64_encode(as_bytes(nothing))));
}

std::string Gate::seal_of(std::string_view path, std::string_view until) const {
  const std::string mac =
      crypto::hmac_sha256(settings_.key, fmt::format("open address\n{}\n{}", path, until));
  return hex_encode(as_bytes(mac)).substr(0, 32);
}

// A path with a query or without.
std::string Gate::sealed(std::string path) const {
  if (is_open()) return path;
  const std::string until = fmt::format("{}", (now() + kOpenFor).time_since_epoch().count());
  const std::string seal = seal_of(path, until);
  return fmt::format("{}{}until={}&seal={}", path, path.find('?') == std::string::npos ? '?' : '&',
                     until, seal);
}

bool Gate::is_sealed(std::string_view path, const http::Request& request) const {
  const auto until = http::query_get(request.url.query, "until");
  const auto seal = http::query_get(request.url.query, "seal");
  if (!until || !seal || !crypto::constant_time_equal(*seal, seal_of(path, *until))) return false;
  const auto time = parse_u64(*until);
  return time && now().time_since_epoch().count() <= static_cast<std::int64_t>(*time);
}

std::string Gate::open_address(const http::Request& request) const {
  return sealed(request.url.path);
}

bool Gate::is_open_address(const http::Request& request) const {
  return is_sealed(request.url.path, request);
}

std::string Gate::piece_address(const http::Request& request, ByteSpan span) const {
  return origin_of(request) +
         sealed(fmt::format("{}?piece={}-{}", request.url.path, span.begin, span.end - 1));
}

bool Gate::is_piece_address(const http::Request& request) const {
  const auto piece = http::query_get(request.url.query, "piece");
  return piece && is_sealed(fmt::format("{}?piece={}", request.url.path, *piece), request);
}

http::Response Gate::challenge(const http::Request& request, std::string_view scope,
                               std::string_view message) const {
  http::Response response = refuse(401, "UNAUTHORIZED", message);
  std::string value = fmt::format(R"(Bearer realm="{}",service="{}")", realm_of(request), kService);
  if (!scope.empty()) value += fmt::format(R"(,scope="{}")", scope);
  response.headers.set("WWW-Authenticate", value);
  return response;
}

rt::Task<Result<http::Response>> Gate::give_token(rt::Op& op, http::Request request) {
  const Status may_ask = admit(client_of(request, nullptr));
  if (!may_ask) co_return refuse(may_ask.error(), "UNKNOWN", "UNKNOWN");
  std::vector<std::string> scopes;
  std::optional<Credentials> credentials = basic_of(request);
  if (request.method == "POST") {
    CO_TRY(const std::string form, co_await http::read_all(op, std::move(request.body), kMostForm));
    const std::string grant = http::query_get(form, "grant_type").value_or("");
    if (grant != "password") {
      co_return refuse(400, "UNSUPPORTED",
                       "only grant_type=password is given tokens here; or GET with Basic");
    }
    credentials = Credentials{.user = http::query_get(form, "username").value_or(""),
                              .password = Secret(http::query_get(form, "password").value_or(""))};
    scopes = split(http::query_get(form, "scope").value_or(""), ' ');
  } else {
    for (const std::string& value : http::query_get_all(request.url.query, "scope"))
      for (std::string& part : split(value, ' ')) scopes.push_back(std::move(part));
  }
  if (!asks()) co_return refuse(404, "UNSUPPORTED", "this registry asks for no tokens");
  if (scopes.size() > kMostScopes)
    co_return refuse(400, "UNSUPPORTED", fmt::format("more than {} scopes", kMostScopes));
  Caller caller = caller_of(std::string(guard::kAnonymous));
  if (auto signer = signer_of(request)) {
    caller = caller_of(std::move(*signer));
  } else if (credentials) {
    const std::string guesser = "a login from " + network_of(request);
    const Status patient = limits_.check_requests(guesser, std::chrono::steady_clock::now());
    if (!patient) co_return refuse(patient.error(), "UNKNOWN", "UNKNOWN");
    auto known = co_await log_in(op, credentials->user, std::move(credentials->password));
    if (!known) {
      (void)admit(guesser);
      http::Response response = refuse(known.error(), "UNKNOWN", "UNAUTHORIZED");
      response.headers.set("WWW-Authenticate", fmt::format(R"(Basic realm="{}")", kService));
      co_return response;
    }
    caller = std::move(*known);
  }
  co_return token_reply(caller, scopes);
}

// Less than what was asked for is no failure: the request that needs it is refused.
http::Response Gate::token_reply(const Caller& caller,
                                 const std::vector<std::string>& scopes) const {
  guard::RegistryToken token{
      .subject = caller.subject, .issued = now(), .expires = now() + kLifetime};
  if (caller.holder) {
    token.credential = caller.holder->id;
    token.expires = std::min(token.expires, caller.holder->expires.value_or(token.expires));
  }
  for (const std::string& scope : scopes) {
    auto asked = guard::parse_scope_request(scope);
    if (!asked) continue;
    if (asked->catalog) {
      token.catalog = true;
      continue;
    }
    asked->access.actions = asked->access.actions.common(caller.of(asked->access.repository));
    token.access.push_back(std::move(asked->access));
  }
  const std::string text = guard::sign(token, kService, settings_.key);
  const json::Object reply{{"token", text},
                           {"access_token", text},
                           {"expires_in", (token.expires - token.issued).count()},
                           {"issued_at", format_rfc3339(token.issued)}};
  http::Response response = http::reply(200, "application/json", json::serialize(reply));
  response.headers.set("Cache-Control", "no-store");
  return response;
}

}  // namespace berth::registryd
