#include "rt/loop.h"

#include <csignal>
#include <memory>

#include <boost/asio/signal_set.hpp>

namespace berth::rt {

struct Loop::Signals {
  Signals(boost::asio::io_context& context, std::function<void(int)> callback)
      : set(context, SIGINT, SIGTERM, SIGHUP), on_signal(std::move(callback)) {}

  boost::asio::signal_set set;
  std::function<void(int)> on_signal;

  void arm() {
    set.async_wait([this](boost::system::error_code error, int number) {
      if (error) return;
      on_signal(number);
      arm();
    });
  }
};

Loop::Loop(unsigned workers) : pool_(workers) {
  // A peer that closes its end must be an error code, not the death of the process.
  std::signal(SIGPIPE, SIG_IGN);
}

Loop::~Loop() { pool_.join(); }

void Loop::run(Task<void> task) {
  std::exception_ptr thrown;
  boost::asio::co_spawn(context_, std::move(task), [&](std::exception_ptr e) {
    thrown = e;
    context_.stop();
  });
  context_.restart();
  context_.run();
  if (thrown) std::rethrow_exception(thrown);
}

void Loop::handle_signals(std::function<void(int)> on_signal) {
  signals_ = std::make_unique<Signals>(context_, std::move(on_signal));
  signals_->arm();
}

}  // namespace berth::rt
