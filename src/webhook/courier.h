// Tells endpoints what happened in a registry: at least once, in order, for as long as it takes.
//
// Loop thread. Every endpoint has a coroutine of its own, so one that is away holds up nobody else.
// What it does not take (no answer, or none of 2xx) is tried again after a pause that grows; after
// its number of attempts an event becomes a dead letter and the next one is tried. Nothing is held
// in memory but what is on its way: a restart goes on with what the queue has. close() must have
// been awaited before it goes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "depot/depot.h"
#include "http/message.h"
#include "metrics/metrics.h"
#include "rt/async.h"
#include "webhook/message.h"

namespace berth::webhook {

struct Endpoint {
  std::string name;
  http::Url url;
  Format format = Format::kCloudEvents;
  std::vector<std::pair<std::string, Secret>> headers;
  Secret secret;  // signs requests; empty: none
  std::uint64_t attempts = 50;
};

struct Pace {
  std::chrono::milliseconds first{1'000};
  std::chrono::milliseconds longest{300'000};
  std::chrono::milliseconds patience{15'000};  // for an answer
};

class Courier {
 public:
  using Send = std::function<rt::Task<Result<http::Response>>(rt::Op&, http::Request)>;

  Courier(rt::Loop& loop, depot::Events& events, Send send, std::vector<Endpoint> endpoints,
          std::string instance, metrics::Registry& metrics, Pace pace = {});

  void start();
  rt::Task<Status> close();

 private:
  static rt::Task<Status> serve(Courier& courier, const Endpoint& endpoint);
  // Whether there may be more to do at once.
  rt::Task<Result<bool>> deliver_some(const Endpoint& endpoint, std::uint64_t& in_vain);
  rt::Task<Status> post(const Endpoint& endpoint, Message message);
  rt::Task<Status> settle(const Endpoint& endpoint, std::vector<depot::Delivery> sent,
                          Status outcome);
  std::chrono::milliseconds pause_after(std::uint64_t in_vain) const;
  void count(const Endpoint& endpoint, std::string_view outcome, std::size_t events);

  depot::Events& events_;
  Send send_;
  std::vector<Endpoint> endpoints_;
  std::string instance_;
  metrics::Registry& metrics_;
  Pace pace_;
  rt::Scope scope_;
  rt::Op op_;
  rt::Event changed_;
  std::uint64_t changes_ = 0;
};

}  // namespace berth::webhook
