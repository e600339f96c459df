#include "content/lanes.h"

#include <algorithm>

namespace berth::content {

bool Lanes::try_take() {
  if (open_ >= std::min(wanted_, most_)) return false;
  ++open_;
  return true;
}

void Lanes::moved(std::uint64_t bytes, rt::SteadyTime now) {
  if (since_ == rt::SteadyTime{}) since_ = now;
  bytes_ += bytes;
  if (now - since_ < kTrial) return;
  const double rate =
      static_cast<double>(bytes_) / std::chrono::duration<double>(now - since_).count();
  best_ = std::max(best_, rate / static_cast<double>(std::max<std::size_t>(open_, 1)));
  bytes_ = 0;
  since_ = now;
  judge(rate, now);
}

void Lanes::judge(double rate, rt::SteadyTime now) {
  if (!trying_) {
    if (now >= rest_until_) {
      rate_before_ = rate;
      before_ = wanted_;
      try_more(now);
    }
    return;
  }
  // What was to be tried could not be: there was not enough to split, or no connection came about.
  if (open_ < wanted_) return;
  if (rate < rate_before_ * kWorthIt) {
    wanted_ = before_;
    trying_ = false;
    rest_until_ = now + kRest;
    return;
  }
  rate_before_ = rate;
  before_ = wanted_;
  try_more(now);
}

void Lanes::try_more(rt::SteadyTime now) {
  const bool enough = rate_before_ > kEnough;
  wanted_ = enough ? wanted_ : std::min(most_, std::max(wanted_, open_) * kGrowth);
  trying_ = wanted_ > before_;
  if (!trying_) rest_until_ = now + kRest;
}

void Lanes::failed(rt::SteadyTime now) {
  wanted_ = std::max<std::size_t>(1, wanted_ / 2);
  before_ = wanted_;
  trying_ = false;
  rest_until_ = now + kRest;
}

}  // namespace berth::content
