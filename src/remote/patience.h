// How long one request is tried again: a bounded number of times, with jittered, growing waits, and
// what the server asks for with Retry-After within a bound. Not thread-safe; one for each request.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "http/message.h"
#include "remote/registry.h"

namespace berth::remote {

class Patience {
 public:
  explicit Patience(const RetrySettings& settings) : settings_(settings) {}

  // How long to wait before the next try; nullopt: take the outcome as it is.
  std::optional<std::chrono::milliseconds> after(const Result<http::Response>& outcome);
  std::optional<std::chrono::milliseconds> after(const http::Response& response);
  std::optional<std::chrono::milliseconds> after(const Error& error);
  // Waits; kCancelled and kTimeout by the Op.
  rt::Task<Status> wait(rt::Op& op, std::chrono::milliseconds delay) const;

  static bool is_transient(int status);

 private:
  std::optional<std::chrono::milliseconds> next_delay(std::optional<std::chrono::seconds> asked);

  const RetrySettings& settings_;
  int tries_ = 1;
  std::chrono::seconds asked_so_far_{0};
};

// The time by the settings' clock.
rt::SteadyTime now_by(const RetrySettings& settings);

}  // namespace berth::remote
