#include "remote/throttle.h"

#include <algorithm>

#include "remote/patience.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

constexpr std::size_t kLeastPiece = 512;
constexpr std::size_t kLargestPiece = 1024 * 1024;

class PacedReader : public rt::Reader {
 public:
  PacedReader(std::unique_ptr<rt::Reader> inner, Throttles throttles)
      : inner_(std::move(inner)), throttles_(std::move(throttles)) {}

  Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    std::size_t most = into.size();
    for (const auto& throttle : throttles_) most = std::min(most, throttle->piece());
    CO_TRY(const std::size_t count, co_await inner_->read(op, into.first(most)));
    for (const auto& throttle : throttles_) CO_TRY_OK(co_await throttle->take(op, count));
    co_return count;
  }

 private:
  std::unique_ptr<rt::Reader> inner_;
  Throttles throttles_;
};

}  // namespace

// A tenth of a second's worth.
std::size_t Throttle::piece() const {
  return std::clamp<std::uint64_t>(rate_ / 10, kLeastPiece, kLargestPiece);
}

Task<Status> Throttle::take(rt::Op& op, std::uint64_t bytes) {
  const auto now = now_by(time_);
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(rate_));
  due_ = std::max(due_, now) + std::chrono::duration_cast<rt::SteadyTime::duration>(cost);
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(due_ - now);
  if (time_.sleep) co_return co_await time_.sleep(op, wait);
  co_return co_await rt::sleep_for(op, wait);
}

std::unique_ptr<rt::Reader> paced(std::unique_ptr<rt::Reader> inner, Throttles throttles) {
  if (throttles.empty()) return inner;
  return std::make_unique<PacedReader>(std::move(inner), std::move(throttles));
}

}  // namespace berth::remote
