#include "http/browser_guard.h"

#include <algorithm>
#include <array>

#include "http/address.h"

namespace berth::http {
namespace {

Response refusal(int status, std::string text) {
  return reply(status, "text/plain; charset=utf-8", std::move(text) + "\n");
}

bool is_loopback_name(std::string_view host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  return classify(host) == AddressKind::kLoopback;
}

bool listed(const std::vector<std::string>& list, std::string_view text) {
  return std::ranges::any_of(
      list, [text](const std::string& entry) { return entry == "*" || iequals(entry, text); });
}

bool host_is_allowed(const Request& request, const BrowserRules& rules) {
  if (request.peer == "unix") return true;
  return is_loopback_name(request.url.host) || listed(rules.hosts, request.url.host);
}

bool same_host(const Request& request, const Url& origin) {
  // Default ports count as equal: a proxy in front may have ended the TLS.
  return origin.authority() == request.url.authority();
}

bool origin_is_allowed(const Request& request, std::string_view origin, const BrowserRules& rules) {
  if (origin != "null" && listed(rules.origins, origin)) return true;
  const auto url = parse_url(origin);
  if (!url || url->host.empty() || url->path != "/" || !url->query.empty()) return false;
  if (same_host(request, *url)) return true;
  return rules.loopback_origins == LoopbackOrigins::kAllow && is_loopback_name(url->host);
}

bool is_form_type(std::string_view content_type) {
  constexpr std::array<std::string_view, 3> kForms = {"text/plain", "multipart/form-data",
                                                      "application/x-www-form-urlencoded"};
  const std::string_view type = trim(content_type.substr(0, content_type.find(';')));
  return std::ranges::any_of(kForms, [type](std::string_view form) { return iequals(form, type); });
}

bool is_preflight(const Request& request) {
  return request.method == "OPTIONS" && request.headers.get("Access-Control-Request-Method");
}

// What was asked for is granted: the routes and the token decide, not CORS. No credentials are ever
// allowed.
Response preflight_answer(const Request& request, const std::string& origin) {
  Response response{.status = 204, .headers = {}, .body = {}};
  allow_origin(origin, response);
  response.headers.set("Access-Control-Allow-Methods",
                       "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  const auto wanted = request.headers.get("Access-Control-Request-Headers");
  if (wanted && wanted->size() <= 1024)
    response.headers.set("Access-Control-Allow-Headers", *wanted);
  if (request.headers.get("Access-Control-Request-Private-Network")) {
    response.headers.set("Access-Control-Allow-Private-Network", "true");
  }
  response.headers.set("Access-Control-Max-Age", "600");
  return response;
}

}  // namespace

std::optional<std::string> allowed_origin(const Request& request, const BrowserRules& rules) {
  const auto origins = request.headers.get_all("Origin");
  if (origins.size() != 1 || !origin_is_allowed(request, origins.front(), rules))
    return std::nullopt;
  return std::string(origins.front());
}

void allow_origin(const std::string& origin, Response& response) {
  response.headers.set("Access-Control-Allow-Origin", origin);
  response.headers.add("Vary", "Origin");
}

std::optional<Response> guard_browser(const Request& request, const BrowserRules& rules,
                                      FormTypes forms) {
  const bool any_host = std::ranges::count(rules.hosts, "*") > 0;
  if (request.headers.get("X-Forwarded-Host") && !any_host && request.peer != "unix") {
    return refusal(400, "X-Forwarded-Host is not believed here; configure the server's host names");
  }
  if (!host_is_allowed(request, rules)) {
    return refusal(403, "the host name " + printable(request.url.host, 100) +
                            " is not one of this server's; add it to the configured host names");
  }
  const auto origin = allowed_origin(request, rules);
  const auto sent = request.headers.get("Origin");
  if (sent && !origin) {
    return refusal(403, "pages of " + printable(*sent, 100) +
                            " may not use this server; add it to the allowed origins");
  }
  const auto site = request.headers.get("Sec-Fetch-Site");
  if (site && iequals(*site, "cross-site") && !origin) {
    return refusal(403, "a page of another site may not use this server");
  }
  if (origin && is_preflight(request)) return preflight_answer(request, *origin);
  const bool changes =
      request.method != "GET" && request.method != "HEAD" && request.method != "OPTIONS";
  const auto type = request.headers.get("Content-Type");
  if (changes && forms == FormTypes::kRefuse && type && is_form_type(*type)) {
    return refusal(415, "send the body as Content-Type: application/json");
  }
  return std::nullopt;
}

}  // namespace berth::http
