// The event loop of the process: one thread runs all coroutines, a bounded pool runs what blocks.
//
// A Loop is made in main (or a test), one a process in practice. `run` drives the loop until the
// given task is done. Nobody else starts threads. No lambda coroutine may capture: pass arguments
// as parameters of a named coroutine.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/assert.h"
#include "base/error.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::rt {

class Loop {
 public:
  // `workers`: threads of the blocking pool.
  explicit Loop(unsigned workers = 4);
  ~Loop();  // joins the pool; pending handlers are dropped
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  boost::asio::io_context& context() { return context_; }
  boost::asio::thread_pool& pool() { return pool_; }

  // Runs `task` to its end on the calling thread and returns its result; everything spawned goes on
  // meanwhile. An exception that leaves the task is a bug and is rethrown here.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    std::exception_ptr thrown;
    boost::asio::co_spawn(context_, std::move(task), [&](std::exception_ptr e, T value) {
      thrown = e;
      if (!e) result.emplace(std::move(value));
      context_.stop();
    });
    context_.restart();
    context_.run();
    if (thrown) std::rethrow_exception(thrown);
    BERTH_ASSERT(result.has_value());
    return std::move(*result);
  }
  void run(Task<void> task);

  // Calls `on_signal(number)` on the loop for SIGINT, SIGTERM and SIGHUP from now on (never for
  // others); without handlers these keep their default action.
  void handle_signals(std::function<void(int)> on_signal);

 private:
  struct Signals;
  boost::asio::io_context context_{1};
  boost::asio::thread_pool pool_;
  std::unique_ptr<Signals> signals_;
};

}  // namespace berth::rt
