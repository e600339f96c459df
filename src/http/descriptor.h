// A non-blocking file descriptor that coroutines wait on. Private to http.
//
// Loop thread. It owns the descriptor. Waiters re-try their system call when a wait is over: a wake
// may be spurious.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/error.h"
#include "base/unique_fd.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::http {

inline constexpr rt::SteadyTime kNever = rt::SteadyTime::max();
inline constexpr std::chrono::milliseconds kNoLimit = std::chrono::milliseconds::max();

inline rt::SteadyTime from_now(std::chrono::milliseconds time) {
  return time == kNoLimit ? kNever : std::chrono::steady_clock::now() + time;
}

enum class Ready { kToRead, kToWrite };

class Descriptor {
 public:
  Descriptor(rt::Loop& loop, UniqueFd fd);
  ~Descriptor() { *alive_ = false; }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  // kTimeout at `until`, or what `op` ended with; kCancelled after close().
  rt::Task<Status> wait(rt::Op& op, Ready ready, rt::SteadyTime until);
  // Calls `ready` once from the loop, perhaps with nothing to read; never after close() or the end
  // of this object.
  void when_readable(std::function<void()> ready);
  void close();

 private:
  boost::asio::posix::stream_descriptor waiter_;
  int fd_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace berth::http
