// The least rate at which a peer has to give or take bytes, for those that keep a connection by a
// byte now and then.
//
// Pure. Waiting for the peer costs credit, bytes earn it at `bytes_per_second`, and there is never
// more of it than there was at the beginning: what was fast once may not be slow for long later.
// Time in which the peer was not waited for costs nothing.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace berth::http {

class Pace {
 public:
  Pace() = default;  // asks for nothing
  Pace(std::uint64_t bytes_per_second, std::chrono::milliseconds credit)
      : rate_(bytes_per_second), most_(credit), credit_(credit) {}

  // How long the peer may be waited for now, `stall` at most.
  std::chrono::milliseconds allows(std::chrono::milliseconds stall) const {
    if (rate_ == 0) return stall;
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(credit_),
                      std::chrono::milliseconds(0), stall);
  }
  void waited(std::chrono::nanoseconds time) {
    if (rate_ > 0) credit_ -= std::min(time, most_ + credit_);
  }
  void moved(std::size_t bytes) {
    if (rate_ == 0) return;
    // Enough for the most there can be; more would only overflow.
    const std::uint64_t seconds = bytes / rate_;
    if (seconds >=
        static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(2 * most_).count())) {
      credit_ = most_;
      return;
    }
    const std::uint64_t rest = (bytes % rate_) * 1'000'000'000 / rate_;
    credit_ += std::chrono::seconds(seconds) + std::chrono::nanoseconds(rest);
    credit_ = std::min(credit_, most_);
  }

 private:
  std::uint64_t rate_ = 0;
  std::chrono::nanoseconds most_{};
  std::chrono::nanoseconds credit_{};  // down to -most_
};

}  // namespace berth::http
