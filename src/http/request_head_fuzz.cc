// Any bytes on a connection: heads, what is made of them, and bodies, one request after the other.
#include <sys/socket.h>

#include "base/assert.h"
#include "base/unique_fd.h"
#include "http/request_head.h"

namespace {

using namespace berth;
using namespace std::chrono_literals;

constexpr std::size_t kHeadBytes = 4096;

rt::Task<Status> read_requests(rt::Op& op, http::Stream& stream) {
  http::Incoming incoming(stream, http::Role::kRequests, kHeadBytes);
  const auto until = std::chrono::steady_clock::now() + 10s;
  for (;;) {
    CO_TRY(auto head, co_await incoming.head(op, until, 10s));
    if (!head) co_return Status();
    CO_TRY(const http::Request request, http::request_of(std::move(*head), {.peer = "127.0.0.1"}));
    std::array<std::byte, 512> buffer;
    for (;;) {
      CO_TRY(const std::size_t count, co_await incoming.body(op, buffer, 10s));
      if (count == 0) break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static rt::Loop loop(1);
  int ends[2];
  BERTH_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  const UniqueFd peer(ends[0]);
  http::Stream stream(loop, UniqueFd(ends[1]));
  static_cast<void>(::send(peer.get(), data, size, MSG_NOSIGNAL));
  ::shutdown(peer.get(), SHUT_WR);
  rt::Op op("fuzz");
  static_cast<void>(loop.run(read_requests(op, stream)));
  return 0;
}
