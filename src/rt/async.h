// The few asynchronous building blocks: run on the pool, wait for time, wait for an event, join
// children.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/error.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::rt {

// Runs `work()` on the blocking pool of the loop and resumes the caller on the loop with its
// result. `work` must not touch what the loop owns while it runs; it is not interrupted by
// cancellation (bound it). The result must be movable.
//
//   auto data = co_await blocking(loop, [&] { return file.read_all(); });
template <class Work>
Task<std::invoke_result_t<Work>> blocking(Loop& loop, Work work) {
  using T = std::invoke_result_t<Work>;
  static_assert(!std::is_void_v<T>, "return a Status");
  auto slot = std::make_shared<std::optional<T>>();
  auto initiate = [&loop, slot](auto handler, Work job) {
    auto executor = boost::asio::get_associated_executor(handler, loop.context().get_executor());
    auto guard = boost::asio::make_work_guard(executor);
    boost::asio::post(loop.pool(), [slot, executor, guard = std::move(guard), job = std::move(job),
                                    handler = std::move(handler)]() mutable {
      slot->emplace(job());
      boost::asio::post(executor, std::move(handler));
    });
  };
  co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&, void()>(
      initiate, boost::asio::use_awaitable, std::move(work));
  co_return std::move(**slot);
}

// Waits until `time`; kCancelled when the Op is cancelled first, kTimeout when its deadline is
// earlier.
Task<Status> sleep_until(Op& op, SteadyTime time);
Task<Status> sleep_for(Op& op, std::chrono::milliseconds duration);

// A condition that coroutines of the loop wait for. `notify_all` wakes those that wait now:
// re-check the condition in a loop (while (!ready) CO_TRY_OK(co_await event.wait(op))). Loop thread
// only.
class Event {
 public:
  explicit Event(Loop& loop) : timer_(loop.context(), SteadyTime::max()) {}
  void notify_all() { timer_.cancel(); }
  // OK when notified; kCancelled or kTimeout by the Op.
  Task<Status> wait(Op& op);
  Task<Status> wait_until(Op& op, SteadyTime time);  // kTimeout at `time`

 private:
  boost::asio::steady_timer timer_;
};

// Owns child coroutines: nothing detached. `join` waits for all; it must be awaited before the
// Scope goes.
class Scope {
 public:
  explicit Scope(Loop& loop) : loop_(loop), idle_(loop) {}
  ~Scope();  // aborts (a bug) when children still run

  // Starts a child; the first failure is kept for join() and, with cancel_on_failure, cancels `op`.
  void spawn(Task<Status> child);
  void cancel_on_failure(Op& op) { cancel_ = &op; }
  std::size_t running() const { return running_; }

  // Waits for every child, cancelled or not (children end by their own Op), and returns the first
  // failure.
  Task<Status> join();

 private:
  Loop& loop_;
  Event idle_;
  Op* cancel_ = nullptr;
  std::size_t running_ = 0;
  std::optional<Error> failure_;
};

// At most `limit` holders at once; waiting is first come, first served. Loop thread only.
class Limiter {
 public:
  class Permit {
   public:
    Permit(Permit&& other) noexcept : limiter_(std::exchange(other.limiter_, nullptr)) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit();

   private:
    friend class Limiter;
    explicit Permit(Limiter* limiter) : limiter_(limiter) {}
    Limiter* limiter_;
  };

  Limiter(Loop& loop, std::size_t limit) : freed_(loop), free_(limit) {}
  Task<Result<Permit>> acquire(Op& op);

 private:
  Event freed_;
  std::size_t free_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace berth::rt
