// How long one request is tried again: a bounded number of times, with jittered, growing waits, and
// what the server asks for with Retry-After within a bound. Not thread-safe; one for each request.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "http/message.h"
#include "remote/registry.h"

namespace berth::remote {

// What a host asked for with Retry-After: everything that goes there waits, and all of it together
// is within one budget. Loop thread.
class HostPause {
 public:
  explicit HostPause(const RetrySettings& settings) : settings_(settings) {}

  // Takes a wait into account; false when it is more than is left of the budget.
  bool ask(std::chrono::seconds asked);
  std::chrono::milliseconds left() const;
  rt::Task<Status> wait(rt::Op& op) const;

 private:
  RetrySettings settings_;
  rt::SteadyTime until_{};
  std::chrono::milliseconds spent_{0};
};

class Patience {
 public:
  Patience(const RetrySettings& settings, HostPause& pause) : settings_(settings), pause_(pause) {}

  // How long to wait before the next try; nullopt: take the outcome as it is.
  std::optional<std::chrono::milliseconds> after(const Result<http::Response>& outcome);
  std::optional<std::chrono::milliseconds> after(const http::Response& response);
  std::optional<std::chrono::milliseconds> after(const Error& error);
  // The same for a failure that the caller knows to be mendable.
  std::optional<std::chrono::milliseconds> again() { return next_delay(std::nullopt); }
  // Waits; kCancelled and kTimeout by the Op.
  rt::Task<Status> wait(rt::Op& op, std::chrono::milliseconds delay) const;

  static bool is_transient(int status);

 private:
  std::optional<std::chrono::milliseconds> next_delay(std::optional<std::chrono::seconds> asked);

  const RetrySettings& settings_;
  HostPause& pause_;
  int tries_ = 1;
};

// The time by the settings' clock.
rt::SteadyTime now_by(const RetrySettings& settings);

}  // namespace berth::remote
