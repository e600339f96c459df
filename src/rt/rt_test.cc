#include <csignal>
#include <gtest/gtest.h>
#include <thread>

#include "rt/async.h"

namespace berth::rt {
namespace {

using namespace std::chrono_literals;

Task<Status> fails() { co_return fail(Code::kIo, "broken"); }
Task<Status> waits(Event& event, Op& op, int& woken) {
  const Status status = co_await event.wait(op);
  ++woken;
  co_return status;
}
Task<Status> holds(Limiter& limiter, Op& op, Event& release, int& inside, int& most) {
  CO_TRY(const auto permit, co_await limiter.acquire(op));
  most = std::max(most, ++inside);
  CO_TRY_OK(co_await release.wait(op));
  --inside;
  co_return Status();
}

TEST(Loop, RunReturnsTheResult) {
  Loop loop;
  const Status status = loop.run(fails());
  EXPECT_EQ(status.error().message(), "broken");
}

Task<Result<bool>> runs_elsewhere(Loop& loop) {
  const auto here = std::this_thread::get_id();
  const auto there = co_await blocking(loop, [] { return std::this_thread::get_id(); });
  co_return here != there&& here == std::this_thread::get_id();
}
TEST(Blocking, RunsOnThePoolAndResumesOnTheLoop) {
  Loop loop;
  EXPECT_TRUE(loop.run(runs_elsewhere(loop)).value());
}

Task<Status> cancelled_sleep(Loop& loop) {
  Op op;
  Scope scope(loop);
  scope.spawn(sleep_for(op, 1h));
  op.cancel();
  co_return co_await scope.join();
}
TEST(Sleep, CancelEndsItAtOnce) {
  Loop loop;
  EXPECT_EQ(loop.run(cancelled_sleep(loop)).error().code(), Code::kCancelled);
}

Task<Status> deadline_sleep() {
  Op parent("test");
  Op op(parent, std::chrono::steady_clock::now() + 1ms);
  co_return co_await sleep_for(op, 1h);
}
TEST(Sleep, DeadlineIsATimeout) {
  Loop loop;
  EXPECT_EQ(loop.run(deadline_sleep()).error().code(), Code::kTimeout);
}

TEST(Op, ChildStopsWithItsParent) {
  Op parent;
  Op child(parent);
  parent.cancel(Error(Code::kIo, "gone"));
  EXPECT_EQ(child.check().error().message(), "gone");
}

TEST(Op, RegistrationOfADeadChildIsForgotten) {
  Op parent;
  {
    Op child(parent);
  }
  parent.cancel();
  EXPECT_TRUE(parent.cancelled());
}

Task<Status> one_event(Loop& loop, int& woken) {
  Op op;
  Event event(loop);
  Scope scope(loop);
  for (int i = 0; i < 3; ++i) scope.spawn(waits(event, op, woken));
  co_await boost::asio::post(loop.context(), boost::asio::use_awaitable);
  event.notify_all();
  co_return co_await scope.join();
}
TEST(Event, NotifyWakesAllThatWait) {
  Loop loop;
  int woken = 0;
  EXPECT_TRUE(loop.run(one_event(loop, woken)));
  EXPECT_EQ(woken, 3);
}

Task<Status> timed_event(Loop& loop) {
  Op op;
  Event event(loop);
  co_return co_await event.wait_until(op, std::chrono::steady_clock::now() + 1ms);
}
TEST(Event, WaitUntilTimesOut) {
  Loop loop;
  EXPECT_EQ(loop.run(timed_event(loop)).error().code(), Code::kTimeout);
}

Task<Status> limited(Loop& loop, int& most) {
  Op op;
  Limiter limiter(loop, 2);
  Event release(loop);
  Scope scope(loop);
  int inside = 0;
  for (int i = 0; i < 5; ++i) scope.spawn(holds(limiter, op, release, inside, most));
  while (scope.running() > 0) {
    co_await boost::asio::post(loop.context(), boost::asio::use_awaitable);
    release.notify_all();
  }
  co_return co_await scope.join();
}
TEST(Limiter, NeverMoreThanItsLimit) {
  Loop loop;
  int most = 0;
  EXPECT_TRUE(loop.run(limited(loop, most)));
  EXPECT_EQ(most, 2);
}

Task<Status> scope_failure(Loop& loop) {
  Op op;
  Scope scope(loop);
  scope.cancel_on_failure(op);
  scope.spawn(sleep_for(op, 1h));
  scope.spawn(fails());
  co_return co_await scope.join();
}
TEST(Scope, FirstFailureCancelsTheRestAndIsReturned) {
  Loop loop;
  EXPECT_EQ(loop.run(scope_failure(loop)).error().message(), "broken");
}

Task<Status> until_signal(Loop& loop, int& number) {
  Event arrived(loop);
  Op op;
  loop.handle_signals([&](int signal) {
    number = signal;
    arrived.notify_all();
  });
  std::raise(SIGHUP);
  while (number == 0) CO_TRY_OK(co_await arrived.wait(op));
  co_return Status();
}
TEST(Loop, SignalsArriveOnTheLoop) {
  Loop loop;
  int number = 0;
  EXPECT_TRUE(loop.run(until_signal(loop, number)));
  EXPECT_EQ(number, SIGHUP);
}

}  // namespace
}  // namespace berth::rt
