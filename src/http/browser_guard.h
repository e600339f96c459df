// Keeps web pages of strangers away from a server on this machine: Host, Origin, Sec-Fetch-Site and
// Content-Type. Pure functions of the request's head, any thread. Source: facts/security.md B.9
// points 2 and 3, issue 3 section 5.
//
// Host: localhost, *.localhost, 127.0.0.0/8, [::1] and configured names, any port (this ends DNS
// rebinding); on a unix socket any. Origin: none, or the same host, or loopback with any port (turn
// off with LoopbackOrigins::kRefuse), or configured; "null" and others are 403. Sec-Fetch-Site:
// cross-site is 403 unless the Origin is allowed. A POST, PUT, PATCH or DELETE whose Content-Type
// is one that a page may send without asking (text/plain, multipart/form-data,
// application/x-www-form-urlencoded) is 415; no type at all stays open to stock clients that send
// none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "http/message.h"

namespace berth::http {

enum class LoopbackOrigins { kAllow, kRefuse };
enum class FormTypes {
  kRefuse,
  kAllow
};  // kAllow: a route that takes forms (a multipart upload of an authenticated caller)

struct BrowserRules {
  std::vector<std::string>
      hosts;  // further names, lower case, no port; "*" for any (behind a proxy that checks)
  std::vector<std::string> origins;  // "https://app.example"; "*" for any
  LoopbackOrigins loopback_origins = LoopbackOrigins::kAllow;
};

// The answer that ends the request: a refusal, or the answer to an allowed CORS preflight. nullopt:
// go on.
std::optional<Response> guard_browser(const Request& request, const BrowserRules& rules,
                                      FormTypes forms = FormTypes::kRefuse);
// The request's Origin when there is one that is allowed: keep it before the request is handed on,
// then give it to allow_origin, which adds Access-Control-Allow-Origin and Vary to the answer.
std::optional<std::string> allowed_origin(const Request& request, const BrowserRules& rules);
void allow_origin(const std::string& origin, Response& response);

}  // namespace berth::http
