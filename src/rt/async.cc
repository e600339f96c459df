#include "rt/async.h"

#include <boost/asio/redirect_error.hpp>

namespace berth::rt {
namespace asio = boost::asio;

Task<Status> sleep_until(Op& op, SteadyTime time) {
  CO_TRY_OK(op.check());
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const bool deadline_first = op.deadline() && *op.deadline() < time;
  timer.expires_at(deadline_first ? *op.deadline() : time);
  const auto registration = op.on_cancel([&timer] { timer.cancel(); });
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (op.cancelled() || deadline_first) co_return op.check();
  co_return Status();
}

Task<Status> sleep_for(Op& op, std::chrono::milliseconds duration) {
  return sleep_until(op, std::chrono::steady_clock::now() + duration);
}

Task<Status> Event::wait(Op& op) { return wait_until(op, SteadyTime::max()); }

namespace {
// What one waiter shares with the two ways it can be given up: its Op's cancel and its own time.
struct Waiter {
  asio::steady_timer* event;
  bool given_up = false;
};
}  // namespace

Task<Status> Event::wait_until(Op& op, SteadyTime time) {
  CO_TRY_OK(op.check());
  const SteadyTime bound = op.deadline() && *op.deadline() < time ? *op.deadline() : time;
  // Giving up wakes every waiter: each re-checks its condition, which the contract of wait() asks
  // for anyway.
  const auto registration = op.on_cancel([this] { timer_.cancel(); });
  boost::system::error_code ignored;
  if (bound == SteadyTime::max()) {
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    co_return op.cancelled() ? op.check() : Status();
  }
  asio::steady_timer alarm(timer_.get_executor());
  alarm.expires_at(bound);
  auto waiter = std::make_shared<Waiter>(Waiter{&timer_});
  alarm.async_wait([waiter](boost::system::error_code error) {
    if (error) return;
    waiter->given_up = true;
    if (waiter->event) waiter->event->cancel();
  });
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  waiter->event = nullptr;
  alarm.cancel();
  if (op.cancelled()) co_return op.check();
  if (waiter->given_up) co_return fail(Code::kTimeout, "waited too long");
  co_return Status();
}

Scope::~Scope() { BERTH_ASSERT(running_ == 0); }

void Scope::spawn(Task<Status> child) {
  ++running_;
  asio::co_spawn(loop_.context(), std::move(child),
                 [this](std::exception_ptr thrown, Status status) {
                   if (thrown) std::rethrow_exception(thrown);  // a bug: surfaces from Loop::run
                   if (!status && !failure_) {
                     failure_ = status.error();
                     if (cancel_) cancel_->cancel(*failure_);
                   }
                   --running_;
                   idle_.notify_all();
                 });
}

Task<Status> Scope::join() {
  Op forever;
  while (running_ > 0) (void)co_await idle_.wait(forever);
  if (failure_) co_return std::unexpected(*failure_);
  co_return Status();
}

Limiter::Permit::~Permit() {
  if (!limiter_) return;
  ++limiter_->free_;
  limiter_->freed_.notify_all();
}

Task<Result<Limiter::Permit>> Limiter::acquire(Op& op) {
  CO_TRY_OK(op.check());
  const std::uint64_t ticket = next_ticket_++;
  while (ticket != serving_ || free_ == 0) {
    const Status waited = co_await freed_.wait(op);
    if (!waited && (op.cancelled() || !op.check())) {
      // Leaving the line: wait for the turn without taking a permit, so that the order stays
      // intact.
      Op forever;
      while (ticket != serving_) (void)co_await freed_.wait(forever);
      ++serving_;
      freed_.notify_all();
      co_return std::unexpected(waited.error());
    }
  }
  ++serving_;
  --free_;
  freed_.notify_all();
  co_return Permit(this);
}

}  // namespace berth::rt
