// Op: what every asynchronous function takes first. It carries cancellation, a deadline and a name
// for the log.
//
// Loop thread only. An Op is owned by whoever starts the operation and outlives it. Children
// inherit the stop of their parent. Cancelling runs the callbacks registered by whatever the
// operation waits on (a socket, a timer, a transfer), which then ends with Code::kCancelled;
// nothing is torn down under a running coroutine.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include "base/error.h"

namespace berth::rt {

using SteadyTime = std::chrono::steady_clock::time_point;

class Op {
 public:
  // Undoes a registration when it goes.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept;
    Registration& operator=(Registration&& other) noexcept;
    ~Registration();

   private:
    friend class Op;
    Registration(Op* op, std::list<std::function<void()>>::iterator at) : op_(op), at_(at) {}
    Op* op_ = nullptr;
    std::list<std::function<void()>>::iterator at_;
  };

  explicit Op(std::string name = "") : name_(std::move(name)) {}
  // A child: stops when the parent stops, may have an earlier deadline of its own.
  explicit Op(Op& parent, std::optional<SteadyTime> deadline = std::nullopt);
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  // Stops this operation and its children, once; later calls change nothing.
  void cancel(Error reason = Error(Code::kCancelled, "cancelled"));
  bool cancelled() const { return reason_.has_value(); }
  // OK while running; the reason after cancel(); kTimeout after the deadline.
  Status check() const;

  std::optional<SteadyTime> deadline() const { return deadline_; }
  // The earlier of the deadline and now + at_most.
  SteadyTime until(std::chrono::milliseconds at_most) const;

  // Calls `stop` on cancel(), at once when already cancelled.
  [[nodiscard]] Registration on_cancel(std::function<void()> stop);

  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::optional<SteadyTime> deadline_;
  std::optional<Error> reason_;
  std::list<std::function<void()>> stops_;
  Registration parent_;
};

}  // namespace berth::rt
