#include "registryd/gate.h"

#include <algorithm>

#include "base/text.h"
#include "crypto/hash.h"
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

std::unexpected<Error> wrong() {
  return fail(Code::kUnauthenticated, "the user name or the password is wrong");
}

}  // namespace

guard::Actions Caller::of(std::string_view repository) const {
  if (everything) return guard::Actions::all();
  const guard::Actions allowed = rules->of(subject, repository);
  return token ? allowed.common(token->of(repository)) : allowed;
}

guard::Actions Caller::everywhere() const {
  if (everything) return guard::Actions::all();
  // A token for the whole registry is asked for with the catalog's scope.
  return token && !token->catalog ? guard::Actions() : rules->everywhere(subject);
}

bool Caller::sees(std::string_view repository) const {
  if (token && token->catalog) return rules->of(subject, repository).allows(guard::Action::kPull);
  return of(repository).allows(guard::Action::kPull);
}

Result<std::unique_ptr<Gate>> Gate::open(rt::Loop& loop, GateSettings settings) {
  std::unique_ptr<Gate> gate(new Gate(loop, std::move(settings)));
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
  if (settings_.htpasswd.empty()) return {};
  TRY(guard::Htpasswd users, guard::Htpasswd::load(settings_.htpasswd));
  users_ = std::make_shared<const guard::Htpasswd>(std::move(users));
  right_.clear();
  if (!settings_.ollama_keys.empty()) {
    TRY(signers_, guard::Signers::load(settings_.ollama_keys));
  }
  return {};
}

bool Gate::is_proxy(const std::string& peer) const {
  return std::ranges::any_of(proxies_,
                             [&](const http::Network& network) { return network.contains(peer); });
}

Caller Gate::caller_of(std::string subject) const {
  return {.subject = std::move(subject), .rules = &permissions_};
}

rt::Task<Result<Caller>> Gate::identify(rt::Op& op, const http::Request& request, Late late) {
  if (!proxies_.empty() && !is_proxy(request.peer)) {
    co_return fail(Code::kDenied, "only the proxies in front of this registry may call it");
  }
  if (!users_) {
    const auto user = proxies_.empty() ? std::nullopt : request.headers.get("X-Forwarded-User");
    co_return Caller{.subject = user ? printable(*user, 100) : std::string(guard::kAnonymous),
                     .everything = true};
  }
  const auto header = request.headers.get("Authorization");
  if (!header) co_return caller_of(std::string(guard::kAnonymous));
  if (const auto text = after_scheme(*header, "Bearer")) {
    auto token = guard::verify(*text, kService, settings_.key);
    const auto last = token ? token->expires : std::chrono::sys_seconds{};
    if (!token || now() > last + (late == Late::kAccept ? kLate : std::chrono::hours(0)))
      co_return fail(Code::kUnauthenticated, "the token is not valid (any more)");
    Caller caller = caller_of(token->subject);
    caller.token = std::move(token);
    co_return caller;
  }
  auto basic = basic_of(request);
  if (!basic) co_return fail(Code::kUnauthenticated, "Basic or Bearer credentials are expected");
  CO_TRY(std::string subject,
         co_await log_in(op, std::move(basic->user), std::move(basic->password)));
  co_return caller_of(std::move(subject));
}

rt::Task<Result<std::string>> Gate::log_in(rt::Op& op, std::string user, Secret password) {
  // Keyed, so that what is remembered is of no use elsewhere.
  const std::string mark =
      crypto::hmac_sha256(settings_.key, fmt::format("{}:{}", user, password.reveal()));
  const auto time = std::chrono::steady_clock::now();
  if (const auto known = right_.find(mark); known != right_.end() && known->second > time)
    co_return user;
  CO_TRY(const auto permit, co_await checks_.acquire(op));
  const auto users = users_;
  const bool right = co_await rt::blocking(
      loop_, [&users, &user, &password] { return users->is_right(user, password); });
  if (!right) co_return wrong();
  if (right_.size() >= kRememberedAtMost) right_.clear();
  right_.insert_or_assign(mark, time + kRemembered);
  co_return user;
}

std::string Gate::realm_of(const http::Request& request) const {
  const auto forwarded = is_proxy(request.peer) ? request.headers.get("X-Forwarded-Proto")
                                                : std::optional<std::string_view>();
  const bool https = request.secure || (forwarded && *forwarded == "https");
  return fmt::format("{}://{}{}", https ? "https" : "http",
                     request.headers.get("Host").value_or("localhost"), kTokenPath);
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

std::string Gate::open_address(const http::Request& request) const {
  if (is_open()) return request.url.path;
  const std::string until = fmt::format("{}", (now() + kOpenFor).time_since_epoch().count());
  return fmt::format("{}?until={}&seal={}", request.url.path, until,
                     seal_of(request.url.path, until));
}

bool Gate::is_open_address(const http::Request& request) const {
  const auto until = http::query_get(request.url.query, "until");
  const auto seal = http::query_get(request.url.query, "seal");
  if (!until || !seal || !crypto::constant_time_equal(*seal, seal_of(request.url.path, *until)))
    return false;
  const auto time = parse_u64(*until);
  return time && now().time_since_epoch().count() <= static_cast<std::int64_t>(*time);
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
  if (!users_) co_return refuse(404, "UNSUPPORTED", "this registry asks for no tokens");
  if (scopes.size() > kMostScopes)
    co_return refuse(400, "UNSUPPORTED", fmt::format("more than {} scopes", kMostScopes));
  Caller caller = caller_of(std::string(guard::kAnonymous));
  if (auto signer = signer_of(request)) {
    caller = caller_of(std::move(*signer));
  } else if (credentials) {
    auto subject = co_await log_in(op, credentials->user, std::move(credentials->password));
    if (!subject) {
      http::Response response = refuse(subject.error(), "UNKNOWN", "UNAUTHORIZED");
      response.headers.set("WWW-Authenticate", fmt::format(R"(Basic realm="{}")", kService));
      co_return response;
    }
    caller = caller_of(std::move(*subject));
  }
  co_return token_reply(caller, scopes);
}

// Less than what was asked for is no failure: the request that needs it is refused.
http::Response Gate::token_reply(const Caller& caller,
                                 const std::vector<std::string>& scopes) const {
  guard::RegistryToken token{
      .subject = caller.subject, .issued = now(), .expires = now() + kLifetime};
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
                           {"expires_in", kLifetime.count()},
                           {"issued_at", format_rfc3339(token.issued)}};
  http::Response response = http::reply(200, "application/json", json::serialize(reply));
  response.headers.set("Cache-Control", "no-store");
  return response;
}

}  // namespace berth::registryd
