#include "runner/logs.h"

#include <fmt/format.h>

#include "base/text.h"

namespace berth::runner {
namespace {

constexpr std::size_t kMaxLine = 2000;

bool shows(LogBuffer::Which wanted, LogBuffer::Which from) {
  return wanted == LogBuffer::Which::kAll || from == wanted;
}

}  // namespace

void LogBuffer::add_engine(std::string_view model, std::string_view line) {
  add({Which::kAll, fmt::format("[{}] {}", printable(model, 128), printable(line, kMaxLine))});
}

void LogBuffer::add_server(std::string_view line) {
  add({Which::kServer, fmt::format("[berth] {}", printable(line, kMaxLine))});
}

void LogBuffer::add(Line line) {
  bytes_ += line.text.size();
  kept_.push_back(line);
  while (kept_.size() > kMaxLines || bytes_ > kMaxBytes) {
    bytes_ -= kept_.front().text.size();
    kept_.pop_front();
  }
  // A follower may leave, or another come, while one is called.
  const std::list<std::weak_ptr<Follower>> now = followers_;
  for (const auto& weak : now) {
    const auto follower = weak.lock();
    if (follower && shows(follower->which, line.from)) follower->on_line(line.text);
  }
  followers_.remove_if([](const auto& follower) { return follower.expired(); });
}

std::vector<std::string> LogBuffer::lines(Which which) const {
  std::vector<std::string> lines;
  for (const Line& line : kept_) {
    if (shows(which, line.from)) lines.push_back(line.text);
  }
  return lines;
}

std::shared_ptr<void> LogBuffer::follow(Follower follower) {
  auto shared = std::make_shared<Follower>(std::move(follower));
  followers_.push_back(shared);
  if (ended_) shared->on_end();
  return shared;
}

void LogBuffer::end() {
  ended_ = true;
  const std::list<std::weak_ptr<Follower>> now = followers_;
  for (const auto& weak : now) {
    if (const auto follower = weak.lock()) follower->on_end();
  }
}

}  // namespace berth::runner
