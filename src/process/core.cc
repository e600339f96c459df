#include "process/core.h"

#include <signal.h>
#include <sys/wait.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

namespace berth::process {
namespace asio = boost::asio;
namespace {

// How long output may stay open after the child itself has ended (a grandchild outside its group).
constexpr std::chrono::milliseconds kLingering{1'000};

ExitStatus status_of(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return {.code = info.si_status};
  return {.signal = info.si_status};
}

void adopt(asio::posix::stream_descriptor& descriptor, UniqueFd fd) {
  if (fd) descriptor.assign(fd.release());
}

}  // namespace

Watch::Watch(rt::Loop& loop, Spawned spawned, std::vector<Sink> sinks,
             std::optional<std::string> input)
    : pid_(spawned.pid),
      pidfd_(loop.context()),
      input_pipe_(loop.context()),
      input_(std::move(input).value_or("")),
      lingering_(loop.context()),
      change_(loop) {
  adopt(pidfd_, std::move(spawned.pidfd));
  adopt(input_pipe_, std::move(spawned.input));
  UniqueFd* const pipes[] = {&spawned.output, &spawned.errors};
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    auto stream = std::make_unique<Stream>(asio::posix::stream_descriptor(loop.context()),
                                           std::move(sinks[i]));
    adopt(stream->pipe, std::move(*pipes[i]));
    streams_.push_back(std::move(stream));
  }
}

Watch::~Watch() {
  if (reaped_) return;
  // The loop went first: end it here, so that no zombie and no process is left.
  ::kill(-pid_, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
}

void Watch::begin() {
  open_streams_ = streams_.size();
  watch_exit();
  for (auto& stream : streams_) read(*stream);
  if (input_pipe_.is_open()) write_input();
}

void Watch::watch_exit() {
  pidfd_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this()](boost::system::error_code error) {
                      if (!error) self->reap();
                    });
}

void Watch::read(Stream& stream) {
  stream.pipe.async_read_some(
      asio::buffer(stream.buffer),
      [self = shared_from_this(), &stream](boost::system::error_code error, std::size_t size) {
        if (size > 0 && stream.sink) stream.sink({stream.buffer.data(), size});
        if (!error) return self->read(stream);
        --self->open_streams_;
        self->end_if_complete();
      });
}

void Watch::write_input() {
  asio::async_write(input_pipe_, asio::buffer(input_),
                    [self = shared_from_this()](boost::system::error_code, std::size_t) {
                      boost::system::error_code ignored;
                      self->input_pipe_.close(ignored);
                    });
}

void Watch::reap() {
  // While the leader is unreaped its number cannot be another group's: end what it left behind.
  ::kill(-pid_, SIGKILL);
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0) info.si_code = CLD_EXITED;
  reaped_ = status_of(info);
  boost::system::error_code ignored;
  pidfd_.close(ignored);
  input_pipe_.close(ignored);
  end_if_complete();
  if (!ended_) give_streams_up();
}

void Watch::give_streams_up() {
  lingering_.expires_after(kLingering);
  lingering_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (error) return;
    boost::system::error_code ignored;
    for (auto& stream : self->streams_) stream->pipe.close(ignored);
  });
}

void Watch::end_if_complete() {
  if (!reaped_ || open_streams_ > 0 || ended_) return;
  lingering_.cancel();
  ended_ = reaped_;
  change_.notify_all();
}

rt::Task<Result<ExitStatus>> Watch::wait(rt::Op& op) {
  const auto self = shared_from_this();
  while (!ended_) CO_TRY_OK(co_await change_.wait(op));
  co_return *ended_;
}

void Watch::signal(int number) {
  if (!reaped_) ::kill(-pid_, number);
}

void Watch::abandon() {
  for (auto& stream : streams_) stream->sink = nullptr;
  signal(SIGKILL);
}

}  // namespace berth::process
