// The HTTP API: Docker Model Runner's routes, OpenAI's inference routes and /berth/v1, as one
// Service over `control`.
//
// Loop thread. A request passes: browser rules (Host, Origin, Sec-Fetch-Site, Content-Type),
// authentication, the scope of its route, the route. The Api outlives every connection that it
// serves; drain() must have been awaited before it goes. Source: facts/docker-model-runner.md
// sections 2.1-2.3; issue 3 section 5.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/engines.h"
#include "control/control.h"
#include "http/browser_guard.h"
#include "http/message.h"
#include "metrics/metrics.h"
#include "rt/loop.h"

namespace berth::api {

// Who needs no token. A caller on the unix socket never does: its mode is 0600.
struct AccessRules {
  bool require_token = false;  // on loopback as well
  bool insecure = false;       // nobody needs one
  std::vector<std::string>
      behind_proxy;  // CIDRs: these peers are proxies that authenticate; no other peer may call
  std::string tokens_folder;  // where guard's tokens.json is
};
// kInvalid naming the CIDR that is none.
Status check_rules(const AccessRules& rules);

struct Options {
  std::uint64_t max_body = 64u << 20;  // of an inference request
  bool record_requests = false;
  http::BrowserRules browser;
  AccessRules access;
};

class Api : public http::Service {
 public:
  Api(rt::Loop& loop, control::Services services, Engines& engines, metrics::Registry& metrics,
      Options options);
  ~Api() override;

  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override;
  // For requests from now on.
  void reconfigure(Options options);
  // Streams that only follow (requests) get their end: the server stops.
  void end_following();
  // Cancels transfers that still run for callers that are gone, and waits for them.
  rt::Task<Status> drain();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::api
