#include "http/request_head.h"

#include <algorithm>

#include "http/outgoing.h"

namespace berth::http {
namespace {

// The host and port that Host names.
Result<Url> origin_of(const Head& head, const Arrival& arrival) {
  const auto hosts = head.headers.get_all("Host");
  if (hosts.size() != 1) return fail(Code::kInvalid, "a request needs exactly one Host header");
  const std::string_view host = hosts.front();
  const std::string scheme = arrival.secure ? "https" : "http";
  const bool clean = host.find_first_of("/?#@") == std::string_view::npos;
  auto url = parse_url(clean ? fmt::format("{}://{}", scheme, host) : "");
  if (url) return url;
  if (arrival.on_unix_socket()) return parse_url(scheme + "://localhost");
  return fail(Code::kInvalid, "the Host header \"{}\" is not a host", printable(host, 100));
}

Result<Url> url_of(const Head& head, const Arrival& arrival) {
  TRY(Url origin, origin_of(head, arrival));
  if (head.target == "*" && head.method == "OPTIONS") return origin;
  if (head.target.find('#') != std::string::npos) {
    return fail(Code::kInvalid, "a request's target has no fragment");
  }
  TRY(Url target, parse_url(head.target));
  if (!target.host.empty() && !target.same_origin(origin)) {
    return fail(Code::kInvalid, "the request is for {} and its Host header says {}",
                target.authority(), origin.authority());
  }
  origin.path = std::move(target.path);
  origin.query = std::move(target.query);
  return origin;
}

}  // namespace

Result<Request> request_of(Head head, const Arrival& arrival) {
  if (head.method == "CONNECT") return fail(Code::kNotAllowed, "this server is not a proxy");
  if (!is_token(head.method)) return fail(Code::kUnsupported, "the method is not one of HTTP");
  TRY(Url url, url_of(head, arrival));
  return Request{.method = std::move(head.method),
                 .url = std::move(url),
                 .headers = std::move(head.headers),
                 .body = {},
                 .peer = arrival.peer,
                 .peer_uid = arrival.peer_uid,
                 .secure = arrival.secure};
}

}  // namespace berth::http
