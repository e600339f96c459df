#include "mirror/upstream.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace berth::mirror {
namespace {

// Long enough that callers do not wait for each try, short enough to be back soon.
constexpr std::chrono::seconds kRest{10};
constexpr std::chrono::seconds kLongestRest{300};  // whatever it asks for

// Failures that are about this registry or the caller and not about upstream.
bool is_ours(Code code) {
  switch (code) {
    case Code::kNotFound:
    case Code::kCancelled:
    case Code::kExhausted:
    case Code::kIo:
    case Code::kInternal:
    case Code::kUnavailable:
    case Code::kTimeout:
    case Code::kRateLimited:
      return true;
    default:
      return false;
  }
}

std::chrono::sys_seconds wall_clock() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

Result<std::shared_ptr<remote::Repository>> Upstream::repository(const std::string& name) const {
  TRY(auto opened, registry_.repository(name));
  return std::shared_ptr<remote::Repository>(std::move(opened));
}

std::optional<Error> Upstream::resting() const {
  if (!rests_until_ || clock_() >= *rests_until_) return std::nullopt;
  return why_rests_;
}

Error Upstream::told(Error failure) {
  const Code code = failure.code();
  if (code == Code::kUnavailable || code == Code::kTimeout || code == Code::kRateLimited) {
    rests_until_ =
        clock_() + std::clamp(failure.retry_after().value_or(kRest), kRest, kLongestRest);
    why_rests_ = failure;
  }
  if (is_ours(code)) return failure;
  // Whoever called is not to log in, and sent nothing that is wrong.
  return Error(Code::kUnavailable, failure.message());
}

void Upstream::answered() {
  rests_until_.reset();
  away_since_.reset();
  if (std::exchange(said_stale_, false)) log::info("{} answers again", name());
}

std::chrono::sys_seconds Upstream::away_since() const {
  return away_since_ ? *away_since_ : wall_clock();
}

void Upstream::serves_stale(const Error& why) {
  if (!away_since_) away_since_ = wall_clock();
  metrics_.count("berth_registry_mirror_stale",
                 "Answers from what is here because the upstream registry could not be asked.",
                 {{"upstream", name()}});
  if (std::exchange(said_stale_, true)) return;
  log::warning("{} cannot be asked, so what is here is served: {}", name(),
               printable(why.message()));
}

void Upstream::count(Event event) {
  const bool hit = event == Event::kHit;
  metrics_.count(hit ? "berth_registry_mirror_hits" : "berth_registry_mirror_misses",
                 hit ? "Blobs and manifests that were here when they were asked for."
                     : "Blobs and manifests that were fetched from the upstream registry.",
                 {{"upstream", name()}});
}

void Upstream::count_bytes(std::uint64_t bytes) {
  metrics_.count("berth_registry_mirror_bytes",
                 "Bytes of blobs fetched from the upstream registry.", {{"upstream", name()}},
                 static_cast<double>(bytes));
}

}  // namespace berth::mirror
