// The webhooks of a registry: from the settings to a courier with a client of its own. Private to
// daemon.
//
// Loop thread. close() must have been awaited before it goes.
#pragma once

#include <memory>
#include <vector>

#include "config/settings.h"
#include "depot/local_depot.h"
#include "http/client.h"
#include "metrics/metrics.h"
#include "webhook/courier.h"

namespace berth::daemon {

class Webhooks {
 public:
  // What the depot has to write down for them. kInvalid names the setting.
  static Result<std::vector<depot::Subscription>> subscriptions(const config::Settings& settings);
  // Blocking. nullptr when nobody wants to be told. kInvalid names the setting.
  static Result<std::unique_ptr<Webhooks>> open(rt::Loop& loop, metrics::Registry& metrics,
                                                const config::Settings& settings,
                                                depot::LocalDepot& depot);

  void start() { courier_.start(); }
  rt::Task<Status> close() { return courier_.close(); }

 private:
  Webhooks(rt::Loop& loop, metrics::Registry& metrics, const config::Settings& settings,
           depot::Events& events, std::vector<webhook::Endpoint> endpoints, std::string instance);
  rt::Task<Result<http::Response>> send(rt::Op& op, http::Request request);

  http::Client client_;
  webhook::Courier courier_;
};

}  // namespace berth::daemon
