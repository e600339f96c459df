#include "rt/op.h"

#include <utility>

namespace berth::rt {

Op::Registration::Registration(Registration&& other) noexcept
    : op_(std::exchange(other.op_, nullptr)), at_(other.at_) {}

Op::Registration& Op::Registration::operator=(Registration&& other) noexcept {
  if (this != &other) {
    if (op_) op_->stops_.erase(at_);
    op_ = std::exchange(other.op_, nullptr);
    at_ = other.at_;
  }
  return *this;
}

Op::Registration::~Registration() {
  if (op_) op_->stops_.erase(at_);
}

Op::Op(Op& parent, std::optional<SteadyTime> deadline)
    : name_(parent.name_), deadline_(parent.deadline_) {
  if (deadline && (!deadline_ || *deadline < *deadline_)) deadline_ = deadline;
  parent_ = parent.on_cancel([this, &parent] { cancel(*parent.reason_); });
}

void Op::cancel(Error reason) {
  if (reason_) return;
  reason_ = std::move(reason);
  // A callback may drop its own or another registration: walk by the front of what is left to call.
  std::list<std::function<void()>> pending;
  for (const auto& stop : stops_) pending.push_back(stop);
  for (const auto& stop : pending) stop();
}

Status Op::check() const {
  if (reason_) return std::unexpected(*reason_);
  if (deadline_ && std::chrono::steady_clock::now() >= *deadline_) {
    return fail(Code::kTimeout, "{}took longer than allowed", name_.empty() ? "" : name_ + " ");
  }
  return {};
}

SteadyTime Op::until(std::chrono::milliseconds at_most) const {
  const SteadyTime bound = std::chrono::steady_clock::now() + at_most;
  return deadline_ && *deadline_ < bound ? *deadline_ : bound;
}

Op::Registration Op::on_cancel(std::function<void()> stop) {
  if (reason_) stop();
  stops_.push_back(std::move(stop));
  return Registration(this, std::prev(stops_.end()));
}

}  // namespace berth::rt
