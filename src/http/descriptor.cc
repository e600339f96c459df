#include "http/descriptor.h"

#include <algorithm>
#include <fcntl.h>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace berth::http {
namespace asio = boost::asio;
namespace {

// Ends a wait at a time. The timer's handler may run after the wait is over, so it shares this and
// not the waiter's frame.
struct Alarm {
  Alarm(asio::posix::stream_descriptor& waiter, rt::SteadyTime time)
      : timer(waiter.get_executor(), time), target(&waiter) {}

  asio::steady_timer timer;
  asio::posix::stream_descriptor* target;
  bool rang = false;
};

class ArmedAlarm {
 public:
  ArmedAlarm(asio::posix::stream_descriptor& waiter, rt::SteadyTime time) {
    if (time == kNever) return;
    alarm_ = std::make_shared<Alarm>(waiter, time);
    alarm_->timer.async_wait([alarm = alarm_](boost::system::error_code error) {
      if (error || !alarm->target) return;
      alarm->rang = true;
      alarm->target->cancel();
    });
  }
  ~ArmedAlarm() {
    if (!alarm_) return;
    alarm_->target = nullptr;
    alarm_->timer.cancel();
  }
  ArmedAlarm(const ArmedAlarm&) = delete;
  ArmedAlarm& operator=(const ArmedAlarm&) = delete;
  bool rang() const { return alarm_ && alarm_->rang; }

 private:
  std::shared_ptr<Alarm> alarm_;
};

asio::posix::descriptor_base::wait_type type_of(Ready ready) {
  return ready == Ready::kToRead ? asio::posix::descriptor_base::wait_read
                                 : asio::posix::descriptor_base::wait_write;
}

}  // namespace

Descriptor::Descriptor(rt::Loop& loop, UniqueFd fd) : waiter_(loop.context()), fd_(fd.get()) {
  ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
  waiter_.assign(fd.release());
}

rt::Task<Status> Descriptor::wait(rt::Op& op, Ready ready, rt::SteadyTime until) {
  CO_TRY_OK(op.check());
  if (!is_open()) co_return fail(Code::kCancelled, "the connection was closed");
  const std::shared_ptr<bool> alive = alive_;
  const auto registration = op.on_cancel([this] { waiter_.cancel(); });
  const ArmedAlarm alarm(waiter_, op.deadline() ? std::min(*op.deadline(), until) : until);
  boost::system::error_code ignored;
  co_await waiter_.async_wait(type_of(ready), asio::redirect_error(asio::use_awaitable, ignored));
  CO_TRY_OK(op.check());
  if (!*alive || !is_open()) co_return fail(Code::kCancelled, "the connection was closed");
  if (alarm.rang()) co_return fail(Code::kTimeout, "nothing moved for too long");
  co_return Status();
}

void Descriptor::when_readable(std::function<void()> ready) {
  if (!is_open()) return;
  waiter_.async_wait(asio::posix::descriptor_base::wait_read,
                     [this, alive = alive_, ready = std::move(ready)](boost::system::error_code) {
                       // Another waiter's end wakes this one too: who is told looks for itself.
                       if (*alive && is_open()) ready();
                     });
}

void Descriptor::close() {
  if (!is_open()) return;
  fd_ = -1;
  boost::system::error_code ignored;
  waiter_.close(ignored);
}

}  // namespace berth::http
