#include "content/pace.h"

#include <algorithm>
#include <numeric>

namespace berth::content {

void Pace::begin(rt::SteadyTime now) {
  bytes_.fill(0);
  newest_ = slot_of(now);
  begun_ = last_move_ = now;
}

void Pace::forget_before(std::int64_t slot) {
  if (slot - newest_ >= kSlots) bytes_.fill(0);
  for (; newest_ < slot && slot - newest_ < kSlots; ++newest_)
    bytes_[static_cast<std::size_t>((newest_ + 1) % kSlots)] = 0;
  newest_ = std::max(newest_, slot);
}

void Pace::add(std::uint64_t bytes, rt::SteadyTime now) {
  forget_before(slot_of(now));
  bytes_[static_cast<std::size_t>(newest_ % kSlots)] += bytes;
  last_move_ = now;
}

double Pace::rate(rt::SteadyTime now) const {
  Pace current = *this;
  current.forget_before(slot_of(now));
  const std::uint64_t sum =
      std::accumulate(current.bytes_.begin(), current.bytes_.end(), std::uint64_t{0});
  // The newest slot is not over: the window is as long as it is by now.
  const auto window =
      now - std::max(begun_, rt::SteadyTime(kSlot * (current.newest_ - kSlots + 1)));
  const double seconds = std::chrono::duration<double>(window).count();
  return seconds < 0.001 ? 0 : static_cast<double>(sum) / seconds;
}

}  // namespace berth::content
