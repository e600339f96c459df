// How fast something moves lately: bytes over a window of two seconds. Pure: the time is given.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "rt/op.h"

namespace berth::content {

class Pace {
 public:
  void begin(rt::SteadyTime now);
  void add(std::uint64_t bytes, rt::SteadyTime now);

  double rate(rt::SteadyTime now) const;  // bytes a second; 0 before begin()
  rt::SteadyTime begun() const { return begun_; }
  rt::SteadyTime last_move() const { return last_move_; }

 private:
  static constexpr std::chrono::milliseconds kSlot{250};
  static constexpr std::int64_t kSlots = 8;

  static std::int64_t slot_of(rt::SteadyTime time) { return time.time_since_epoch() / kSlot; }
  void forget_before(std::int64_t slot);

  std::array<std::uint64_t, kSlots> bytes_{};
  std::int64_t newest_ = 0;
  rt::SteadyTime begun_;
  rt::SteadyTime last_move_;
};

}  // namespace berth::content
