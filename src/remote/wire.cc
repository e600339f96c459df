#include "remote/wire.h"

#include <algorithm>
#include <array>

#include "http/client.h"

namespace berth::remote {
namespace {

constexpr std::uint64_t kDrainBytes = 64 * 1024;

// From far to near. A registry is looked for in this order; strangers never get the last (cloud
// metadata).
constexpr std::array<http::AddressPolicy, 4> kLadder = {{
    {},
    {.private_network = true},
    {.loopback = true, .private_network = true},
    {.loopback = true, .private_network = true, .link_local = true},
}};
constexpr std::size_t kNearestForStrangers = 2;

// Requests to the registry itself that can be sent again have a body in memory (or none); all first
// ones are such.
bool can_repeat(const http::Request& request) {
  return std::holds_alternative<std::string>(request.body.content);
}

// How TLS servers answer plain text: most with 400 and a word about HTTPS (none to a HEAD), others
// with an alert or nothing at all.
bool may_speak_tls(const http::Request& request, const Result<http::Response>& response) {
  if (request.url.scheme != "http" || request.headers.get("Authorization")) return false;
  return response ? response->status == 400 : response.error().code() == Code::kUnavailable;
}

http::Request copy_of(const http::Request& request) {
  http::Request copy;
  copy.method = request.method;
  copy.url = request.url;
  copy.headers = request.headers;
  copy.body = std::get<std::string>(request.body.content);
  return copy;
}

}  // namespace

Task<Result<http::Response>> Wire::send(rt::Op& op, http::Request request) {
  if (request.url.host == base_.host) co_return co_await send_to_registry(op, std::move(request));
  co_return co_await send_(op, std::move(request), kLadder[std::min(reach_, kNearestForStrangers)]);
}

Task<Result<http::Response>> Wire::send_named(rt::Op& op, http::Request request) {
  co_return co_await send_(op, std::move(request), http::AddressPolicy::anywhere());
}

http::Url Wire::target(http::Url url) const {
  if (base_.scheme == "https" && url.scheme == "http" && url.host == base_.host &&
      url.port == base_.port) {
    url.scheme = "https";
  }
  return url;
}

Task<Result<http::Response>> Wire::send_to_registry(rt::Op& op, http::Request request) {
  request.url = target(std::move(request.url));
  if (!reached_ && can_repeat(request)) co_return co_await find_registry(op, std::move(request));
  auto response = co_await send_(op, std::move(request), kLadder[reach_]);
  if (response) reached_ = true;
  co_return response;
}

// Up the ladder until it answers; then it is known where it is and whether it speaks TLS. Several
// may climb at once, each by itself.
Task<Result<http::Response>> Wire::find_registry(rt::Op& op, http::Request request) {
  for (std::size_t reach = reach_;; ++reach) {
    auto response = co_await send_(op, copy_of(request), kLadder[reach]);
    const bool denied = !response && response.error().code() == Code::kDenied;
    if (denied && reach + 1 < kLadder.size()) continue;
    if (!denied) reach_ = std::max(reach_, reach);
    if (is_registry(request.url) && may_speak_tls(request, response))
      co_return co_await try_tls(op, std::move(request), std::move(response));
    if (response) reached_ = true;
    co_return response;
  }
}

Task<Result<http::Response>> Wire::try_tls(rt::Op& op, http::Request request,
                                           Result<http::Response> plain) {
  request.url.scheme = "https";
  auto secure = co_await send_(op, std::move(request), kLadder[reach_]);
  if (secure) {
    base_.scheme = "https";
    reached_ = true;
    co_return secure;
  }
  CO_TRY_OK(op.check());
  if (http::is_untrusted(secure.error())) co_return secure;
  if (plain) reached_ = true;
  co_return plain;
}

Result<http::Url> Wire::follow(const http::Url& from, std::string_view location) const {
  auto next = http::resolve_url(from, location);
  if (!next) {
    return fail(Code::kCorrupt, "{} answered with a location that is no URL: {}", from.authority(),
                printable(location, 200));
  }
  if (from.scheme == "https" && next->scheme != "https") {
    return fail(Code::kDenied,
                "{} leads from https to {}://{}, which is refused because anybody could read and "
                "change it; "
                "if a proxy stands before the registry, set X-Forwarded-Proto there",
                from.authority(), next->scheme, printable(next->authority(), 200));
  }
  return std::move(*next);
}

Task<void> drain(rt::Op& op, http::Response response) {
  (void)co_await http::read_all(op, std::move(response.body), kDrainBytes);
}

}  // namespace berth::remote
