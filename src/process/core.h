// What Child and run_to_end share: the watched process and its streams. Private to process.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "process/child.h"
#include "process/spawn.h"

namespace berth::process {

// Kept alive by its own pending reads, so that the reaping goes on after the owner has let go.
class Watch : public std::enable_shared_from_this<Watch> {
 public:
  using Sink = std::function<void(std::string_view bytes)>;

  Watch(rt::Loop& loop, Spawned spawned, std::vector<Sink> sinks, std::optional<std::string> input);
  ~Watch();
  void begin();

  pid_t pid() const { return pid_; }
  const std::optional<ExitStatus>& ended() const { return ended_; }
  rt::Task<Result<ExitStatus>> wait(rt::Op& op);
  void signal(int number);
  void abandon();  // kill; nothing is told to anyone any more

 private:
  struct Stream {
    boost::asio::posix::stream_descriptor pipe;
    Sink sink;
    std::array<char, 16 * 1024> buffer;
  };

  void watch_exit();
  void read(Stream& stream);
  void write_input();
  void reap();
  void give_streams_up();
  void end_if_complete();

  pid_t pid_;
  boost::asio::posix::stream_descriptor pidfd_;
  boost::asio::posix::stream_descriptor input_pipe_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::string input_;
  std::size_t open_streams_ = 0;
  boost::asio::steady_timer lingering_;
  rt::Event change_;
  std::optional<ExitStatus> reaped_;
  std::optional<ExitStatus> ended_;
};

}  // namespace berth::process
