// One registry that is mirrored: how to reach it, whether it answers, what to tell when it does
// not.
//
// Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "metrics/metrics.h"
#include "mirror/entry.h"
#include "remote/registry.h"

namespace berth::mirror {

class Upstream {
 public:
  using Clock = std::function<rt::SteadyTime()>;

  Upstream(Entry entry, remote::Registry registry, metrics::Registry& metrics, Clock clock)
      : entry_(std::move(entry)),
        registry_(std::move(registry)),
        metrics_(metrics),
        clock_(std::move(clock)) {}

  const std::string& name() const { return entry_.upstream; }
  const std::string& prefix() const { return entry_.prefix; }
  // Who moves tags here, in their history.
  std::string actor() const { return "mirror:" + name(); }
  Result<std::shared_ptr<remote::Repository>> repository(const std::string& name) const;

  // It did not answer a moment ago, so it is not asked again yet: why.
  std::optional<Error> resting() const;
  // A failure of asking it, as callers of this registry are to be told: kNotFound, or kUnavailable,
  // kTimeout, kRateLimited for what is upstream's; others are this side's. One that does not answer
  // rests for a moment.
  Error told(Error failure);
  void answered();
  // What is here is served because upstream could not be asked.
  void serves_stale(const Error& why);
  // The first failure since it last answered.
  std::chrono::sys_seconds away_since() const;

  enum class Event { kHit, kMiss };
  void count(Event event);
  void count_bytes(std::uint64_t bytes);

 private:
  Entry entry_;
  remote::Registry registry_;
  metrics::Registry& metrics_;
  Clock clock_;
  std::optional<rt::SteadyTime> rests_until_;
  std::optional<Error> why_rests_;
  std::optional<std::chrono::sys_seconds> away_since_;
  bool said_stale_ = false;  // in the log, since it last answered
};

}  // namespace berth::mirror
