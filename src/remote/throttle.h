// A rate that a transfer is kept to on purpose (--limit-rate, limits of a registry).
//
// Loop thread. Shared by the streams that it limits together: who takes bytes waits until they are
// due.
#pragma once

#include <memory>
#include <vector>

#include "remote/registry.h"
#include "rt/reader.h"

namespace berth::remote {

class Throttle {
 public:
  explicit Throttle(std::uint64_t bytes_per_second, RetrySettings time = {})
      : rate_(bytes_per_second), time_(std::move(time)) {}

  // How much should be asked for at once, so that the flow is even.
  std::size_t piece() const;
  rt::Task<Status> take(rt::Op& op, std::uint64_t bytes);

 private:
  std::uint64_t rate_;
  RetrySettings time_;  // its clock
  rt::SteadyTime due_{};
};

using Throttles = std::vector<std::shared_ptr<Throttle>>;

// `inner` at the pace of the slowest; `inner` itself when there is none.
std::unique_ptr<rt::Reader> paced(std::unique_ptr<rt::Reader> inner, Throttles throttles);

}  // namespace berth::remote
