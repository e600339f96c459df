#include "runner/logs.h"

#include <fmt/format.h>

#include "base/text.h"

namespace berth::runner {
namespace {

constexpr std::size_t kMaxLine = 2000;

}  // namespace

void EngineLog::add(std::string_view engine, std::string_view line) {
  kept_.push_back(fmt::format("[{}] {}", printable(engine, 128), printable(line, kMaxLine)));
  bytes_ += kept_.back().size();
  const std::string added = kept_.back();
  while (kept_.size() > kMaxLines || bytes_ > kMaxBytes) {
    bytes_ -= kept_.front().size();
    kept_.pop_front();
  }
  // A follower may leave, or another come, while one is called.
  const std::list<std::weak_ptr<OnLine>> now = followers_;
  for (const auto& follower : now) {
    if (const auto on_line = follower.lock()) (*on_line)(added);
  }
  followers_.remove_if([](const auto& follower) { return follower.expired(); });
}

std::vector<std::string> EngineLog::lines() const { return {kept_.begin(), kept_.end()}; }

std::shared_ptr<void> EngineLog::follow(OnLine on_line) {
  auto follower = std::make_shared<OnLine>(std::move(on_line));
  followers_.push_back(follower);
  return follower;
}

}  // namespace berth::runner
