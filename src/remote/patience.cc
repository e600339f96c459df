#include "remote/patience.h"

#include <algorithm>
#include <random>

#include "http/client.h"
#include "remote/field.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

using std::chrono::milliseconds;

// Half of the delay is random, so that many clients that failed together do not come back together.
milliseconds jittered(milliseconds delay) {
  static std::minstd_rand source{std::random_device{}()};
  std::uniform_int_distribution<std::int64_t> spread(delay.count() / 2, delay.count());
  return milliseconds(spread(source));
}

}  // namespace

bool Patience::is_transient(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

std::optional<milliseconds> Patience::after(const Result<http::Response>& outcome) {
  return outcome ? after(*outcome) : after(outcome.error());
}

std::optional<milliseconds> Patience::after(const http::Response& response) {
  if (!is_transient(response.status)) return std::nullopt;
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return next_delay(retry_after(response.headers, now));
}

std::optional<milliseconds> Patience::after(const Error& error) {
  // Another try finds the same certificate.
  if (http::is_untrusted(error)) return std::nullopt;
  const Code code = error.code();
  if (code != Code::kUnavailable && code != Code::kTimeout && code != Code::kRateLimited)
    return std::nullopt;
  return next_delay(error.retry_after());
}

std::optional<milliseconds> Patience::next_delay(std::optional<std::chrono::seconds> asked) {
  if (tries_ >= settings_.attempts) return std::nullopt;
  const int doublings = std::min(tries_ - 1, 20);
  ++tries_;
  const milliseconds delay =
      jittered(std::min(settings_.first_delay * (1 << doublings), settings_.longest_delay));
  if (!asked) return delay;
  if (!pause_.ask(*asked)) return std::nullopt;
  return std::max<milliseconds>(*asked, delay);
}

// Only what is added to the wait that was known counts, so that many streams that are told the same
// at once cost the host's budget once. Who asked for nothing for a while has it whole again.
bool HostPause::ask(std::chrono::seconds asked) {
  constexpr std::chrono::minutes kForgiven{10};
  const auto now = now_by(settings_);
  if (now - until_ > kForgiven) spent_ = milliseconds(0);
  if (asked > settings_.longest_retry_after) return false;  // and no overflow below
  const auto added = std::chrono::ceil<milliseconds>(now + asked - std::max(now, until_));
  if (added.count() <= 0) return true;
  if (spent_ + added > settings_.longest_retry_after) return false;
  spent_ += added;
  until_ = now + asked;
  return true;
}

milliseconds HostPause::left() const {
  return std::chrono::ceil<milliseconds>(until_ - now_by(settings_));
}

Task<Status> HostPause::wait(rt::Op& op) const {
  const auto time = left();
  if (settings_.sleep) co_return co_await settings_.sleep(op, time);
  co_return co_await rt::sleep_for(op, time);
}

Task<Status> Patience::wait(rt::Op& op, milliseconds delay) const {
  if (settings_.sleep) co_return co_await settings_.sleep(op, delay);
  co_return co_await rt::sleep_for(op, delay);
}

rt::SteadyTime now_by(const RetrySettings& settings) {
  return settings.now ? settings.now() : std::chrono::steady_clock::now();
}

}  // namespace berth::remote
