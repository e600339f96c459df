#include "remote/endpoint.h"

#include "remote/failure.h"

namespace berth::remote {
namespace {

constexpr int kMaxRedirects = 5;
constexpr std::chrono::seconds kWorthTelling{1};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::vector<std::string> token_hosts_of(const std::string& registry,
                                        const RegistryOptions& options) {
  std::vector<std::string> hosts;
  for (const std::string& entry : options.token_hosts) {
    if (entry.starts_with(registry + "="))
      hosts.push_back(to_lower(entry.substr(registry.size() + 1)));
  }
  return hosts;
}

// What a redirect makes of a method (RFC 9110 section 15.4): 303 turns all but HEAD into GET; a
// changed POST is not what the registry protocol means, so the others keep it.
std::string redirected_method(const std::string& method, int status) {
  return status == 303 && method != "HEAD" ? "GET" : method;
}

std::string wait_text(const Result<Answer>& outcome, std::chrono::milliseconds delay) {
  const std::string why = outcome ? fmt::format("the registry answered {}", outcome->status())
                                  : outcome.error().message();
  return fmt::format("trying again in {}: {}", format_duration(delay), why);
}

}  // namespace

Task<Result<http::Body>> TextBody::open(rt::Op&) { co_return http::Body(text_); }

Endpoint::Endpoint(rt::Loop& loop, Settings settings, const RegistryOptions& options)
    : settings_(std::move(settings)),
      retry_(options.retry),
      wire_(options.send, settings_.base),
      authorizer_(loop, wire_,
                  {.registry = settings_.registry,
                   .credentials = options.credentials,
                   .token_hosts = token_hosts_of(settings_.registry, options),
                   .retry = options.retry}),
      quirks_(quirks_of(settings_.base.host)),
      memory_(options.memory),
      pause_(options.retry),
      throttles_(settings_.throttles),
      lanes_(std::make_shared<content::Lanes>(settings_.connections)) {
  if (memory_ != nullptr) quirks_ = memory_->recall(settings_.base.authority(), quirks_);
}

Task<void> Endpoint::remember_quirks(rt::Op& op) {
  if (memory_ != nullptr) co_await memory_->remember(op, settings_.base.authority(), quirks_);
}

http::Url Endpoint::url(std::string_view path, std::string query) const {
  http::Url url = settings_.base;
  if (url.path.ends_with('/')) url.path.pop_back();
  url.path += "/v2/" + std::string(path);
  url.query = std::move(query);
  if (!settings_.source_registry.empty()) {
    url.query +=
        (url.query.empty() ? "ns=" : "&ns=") + http::percent_encode(settings_.source_registry);
  }
  return url;
}

// Another request was told to wait: so does this one.
Task<Status> Endpoint::wait_for_host(rt::Op& op, const Call& call) {
  const auto left = pause_.left();
  if (left.count() <= 0) co_return Status();
  if (call.on_wait) {
    call.on_wait(fmt::format("waiting {}, as {} asks", format_duration(left), settings_.registry));
  }
  co_return co_await pause_.wait(op);
}

// Storage that the registry redirected to gives its places for a time; a fresh one comes from the
// registry. (S3 and Azure answer 403 then, Google 400.)
bool Endpoint::is_stale_place(const Call& call, const Answer& answer) const {
  const int status = answer.status();
  return !wire_.is_registry(answer.url) && (call.method == "GET" || call.method == "HEAD") &&
         (status == 400 || status == 401 || status == 403 || status == 410);
}

Task<Result<Answer>> Endpoint::send(rt::Op& op, Call call) {
  Patience patience(retry_, pause_);
  while (true) {
    CO_TRY_OK(co_await wait_for_host(op, call));
    auto outcome = co_await send_authorized(op, call);
    CO_TRY_OK(op.check());
    const auto delay = call.tries == Tries::kOnce       ? std::nullopt
                       : !outcome                       ? patience.after(outcome.error())
                       : is_stale_place(call, *outcome) ? patience.again()
                                                        : patience.after(outcome->response);
    if (!delay) co_return in_context(std::move(outcome), call.doing);
    if (call.on_wait && *delay > kWorthTelling) call.on_wait(wait_text(outcome, *delay));
    if (outcome) co_await drain(op, std::move(outcome->response));
    CO_TRY_OK(co_await patience.wait(op, *delay));
  }
}

Task<Result<Answer>> Endpoint::send_authorized(rt::Op& op, const Call& call) {
  CO_TRY(Secret authorization,
         co_await authorizer_.authorization(op, call.repository, call.scopes));
  CO_TRY(Answer answer, co_await send_following(op, call, authorization));
  // Only the registry's own challenge counts: a place that it redirected to may not ask for our
  // login.
  if (answer.status() != 401 || !wire_.is_registry(answer.url)) co_return answer;
  CO_TRY(const bool again,
         co_await authorizer_.challenged(op, answer.response.headers, call.repository, call.scopes,
                                         authorization));
  if (!again) co_return answer;
  if (call.body != nullptr && !call.body->may_repeat()) {
    answer.renewed = true;
    co_return answer;
  }
  co_await drain(op, std::move(answer.response));
  CO_TRY(authorization, co_await authorizer_.authorization(op, call.repository, call.scopes));
  co_return co_await send_following(op, call, authorization);
}

Task<Result<Answer>> Endpoint::send_following(rt::Op& op, const Call& call, Secret authorization) {
  http::Url url = call.url;
  std::string method = call.method;
  for (int hops = 0;; ++hops) {
    url = wire_.target(std::move(url));
    CO_TRY(http::Response response, co_await send_once(op, call, url, method, authorization));
    url = wire_.target(std::move(url));  // which may only now be known to speak TLS
    const auto location = response.headers.get("Location");
    if (!is_redirect(response.status) || !location) {
      const bool authorized = !authorization.empty() && wire_.is_registry(url);
      co_return Answer{
          .response = std::move(response), .url = std::move(url), .authorized = authorized};
    }
    if (hops == kMaxRedirects) {
      co_return fail(Code::kCorrupt, "{} redirects more than {} times", settings_.registry,
                     kMaxRedirects);
    }
    CO_TRY(url, wire_.follow(url, *location));
    method = redirected_method(method, response.status);
    co_await drain(op, std::move(response));
  }
}

Task<Result<http::Response>> Endpoint::send_once(rt::Op& op, const Call& call, http::Url url,
                                                 std::string method, Secret authorization) {
  http::Request request;
  request.method = std::move(method);
  request.headers = call.headers;
  request.first_byte = call.first_byte;
  if (wire_.is_registry(url)) {
    for (const auto& [name, value] : settings_.headers) request.headers.set(name, value.reveal());
  }
  if (!authorization.empty() && wire_.is_registry(url))
    request.headers.set("Authorization", authorization.reveal());
  request.url = std::move(url);
  if (call.body != nullptr && request.method != "GET") {
    CO_TRY(request.body, co_await call.body->open(op));
  }
  co_return co_await wire_.send(op, std::move(request));
}

Task<Error> Endpoint::error(rt::Op& op, std::string doing, Answer answer) const {
  if (!wire_.is_registry(answer.url)) {
    const int status = answer.status();
    const std::string place = answer.url.authority();
    Error error = co_await answer_error(op, std::move(doing), place, std::move(answer.response));
    // Not our login, and not the registry's word: another try gets another place.
    const bool refused = status == 401 || status == 403 || status == 400 || status == 410;
    if (!refused) co_return error;
    co_return Error(Code::kUnavailable,
                    fmt::format("{}; {} had named it as the place of the bytes: try again",
                                error.message(), settings_.registry));
  }
  co_return co_await answer_error(op, std::move(doing), settings_.registry,
                                  std::move(answer.response));
}

}  // namespace berth::remote
