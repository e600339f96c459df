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
  if (*asked > settings_.longest_retry_after - asked_so_far_) return std::nullopt;
  asked_so_far_ += *asked;
  return std::max<milliseconds>(*asked, delay);
}

Task<Status> Patience::wait(rt::Op& op, milliseconds delay) const {
  if (settings_.sleep) co_return co_await settings_.sleep(op, delay);
  co_return co_await rt::sleep_for(op, delay);
}

rt::SteadyTime now_by(const RetrySettings& settings) {
  return settings.now ? settings.now() : std::chrono::steady_clock::now();
}

}  // namespace berth::remote
