// One connected stream socket, plain or TLS, read and written by coroutines. Private to http.
//
// Loop thread. System calls are tried first and waited for only when the socket is not ready.
// Failures: kUnavailable (the peer is gone), kTimeout, kCancelled.
#pragma once

#include <chrono>
#include <memory>
#include <span>

#include "base/text.h"
#include "http/descriptor.h"
#include "http/message.h"
#include "http/pace.h"
#include "http/socket_address.h"
#include "http/tls.h"

namespace berth::http {

enum class Peek { kNothing, kData, kClosed };

class Stream {
 public:
  Stream(rt::Loop& loop, UniqueFd fd) : loop_(loop), descriptor_(loop, std::move(fd)) {}

  // Connects the socket that was given; the message is the bare reason.
  rt::Task<Status> connect(rt::Op& op, SocketAddress address, rt::SteadyTime until);
  // Server side of a TLS handshake.
  rt::Task<Status> accept_tls(rt::Op& op, TlsContext context, rt::SteadyTime until);
  // At most `into`; 0: the peer closed its end.
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into, rt::SteadyTime until);
  // All pieces in order; `pieces` is used up. kTimeout when the peer takes nothing for `stall`.
  rt::Task<Status> write(rt::Op& op, std::span<Bytes> pieces, std::chrono::milliseconds stall);
  rt::Task<Status> write(rt::Op& op, Bytes bytes, std::chrono::milliseconds stall);
  // The file is read on the pool, where it may block; on a plain socket the kernel moves the bytes.
  rt::Task<Status> send_file(rt::Op& op, const FileRange& range, std::chrono::milliseconds stall);

  // The pace that the peer has to take bytes at from now on.
  void send_at(Pace pace) { sending_ = pace; }

  // What a read would find, without waiting.
  Peek peek();
  void when_readable(std::function<void()> ready) { descriptor_.when_readable(std::move(ready)); }
  void shutdown_send();
  void close() { descriptor_.close(); }
  bool is_open() const { return descriptor_.is_open(); }
  bool is_tls() const { return tls_ != nullptr; }
  int fd() const { return descriptor_.fd(); }

 private:
  // The outcome of one system call: bytes moved, what to wait for, or a failure.
  struct Attempt {
    std::size_t moved = 0;
    std::optional<Ready> wait;
    std::optional<Error> error;
  };
  Attempt try_read(MutableBytes into);
  Attempt try_write(std::span<Bytes> pieces);
  Attempt tls_attempt(int result, std::size_t moved);
  rt::Task<void> be_fair();
  // Until the peer takes more.
  rt::Task<Status> wait_to_send(rt::Op& op, Ready ready, std::chrono::milliseconds stall);
  rt::Task<Status> send_file_plain(rt::Op& op, const FileRange& range,
                                   std::chrono::milliseconds stall);
  rt::Task<Status> send_file_copied(rt::Op& op, const FileRange& range,
                                    std::chrono::milliseconds stall);

  rt::Loop& loop_;
  Descriptor descriptor_;
  TlsSession tls_;
  Pace sending_;
  unsigned unwaited_ = 0;
};

}  // namespace berth::http
