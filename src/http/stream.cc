#include "http/stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "rt/async.h"

namespace berth::http {
namespace {

// More reads and writes in a row than these and the others get a turn: with 32 busy connections 16
// made the slowest requests wait three times as long, at no better rate.
constexpr unsigned kUnwaitedAtMost = 3;
constexpr std::chrono::milliseconds kFullQueuePause{2};
constexpr std::size_t kSendfilePiece = 4 * 1024 * 1024;
constexpr std::size_t kCopyPiece = 256 * 1024;

Error connection_error(int error) {
  return Error(Code::kUnavailable, fmt::format("the connection broke: {}", std::strerror(error)));
}

Error connect_error(int error) {
  const Code code = error == EACCES || error == EPERM ? Code::kDenied : Code::kUnavailable;
  return Error(code, std::strerror(error));
}

void take(std::span<Bytes> pieces, std::size_t moved) {
  for (Bytes& piece : pieces) {
    const std::size_t here = std::min(moved, piece.size());
    piece = piece.subspan(here);
    moved -= here;
  }
}

bool all_empty(std::span<const Bytes> pieces) {
  return std::ranges::all_of(pieces, [](Bytes piece) { return piece.empty(); });
}

std::size_t gather(std::span<const Bytes> pieces, std::array<iovec, 4>& vectors) {
  std::size_t count = 0;
  for (const Bytes piece : pieces) {
    if (piece.empty() || count == vectors.size()) continue;
    vectors[count++] = {.iov_base = const_cast<std::byte*>(piece.data()), .iov_len = piece.size()};
  }
  return count;
}

// What one burst of sendfile on the pool came to.
struct Burst {
  std::uint64_t sent = 0;
  int error = 0;  // EAGAIN: the socket is full; 0 with too little sent: the file ended
};

Burst send_burst(int socket, int file, std::uint64_t offset, std::uint64_t length) {
  Burst burst;
  auto at = static_cast<off_t>(offset);
  while (burst.sent < length) {
    const std::size_t want = std::min<std::uint64_t>(length - burst.sent, kSendfilePiece);
    const ssize_t n = ::sendfile(socket, file, &at, want);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) burst.error = errno;
    if (n <= 0) break;
    burst.sent += static_cast<std::uint64_t>(n);
  }
  return burst;
}

}  // namespace

Stream::Attempt Stream::tls_attempt(int result, std::size_t moved) {
  if (result == 1) return {.moved = moved};
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {.wait = Ready::kToRead};
    case SSL_ERROR_WANT_WRITE:
      return {.wait = Ready::kToWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {};
    case SSL_ERROR_SYSCALL:
      return {.error = connection_error(errno == 0 ? ECONNRESET : errno)};
    default:
      return {.error = Error(Code::kUnavailable, "TLS failed: " + tls_error())};
  }
}

Stream::Attempt Stream::try_read(MutableBytes into) {
  if (tls_) {
    std::size_t moved = 0;
    ERR_clear_error();
    return tls_attempt(SSL_read_ex(tls_.get(), into.data(), into.size(), &moved), moved);
  }
  const ssize_t n = ::recv(descriptor_.fd(), into.data(), into.size(), 0);
  if (n >= 0) return {.moved = static_cast<std::size_t>(n)};
  if (errno == EAGAIN || errno == EINTR) return {.wait = Ready::kToRead};
  return {.error = connection_error(errno)};
}

Stream::Attempt Stream::try_write(std::span<Bytes> pieces) {
  if (tls_) {
    const auto first = std::ranges::find_if(pieces, [](Bytes piece) { return !piece.empty(); });
    std::size_t moved = 0;
    ERR_clear_error();
    return tls_attempt(SSL_write_ex(tls_.get(), first->data(), first->size(), &moved), moved);
  }
  std::array<iovec, 4> vectors{};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = gather(pieces, vectors);
  const ssize_t n = ::sendmsg(descriptor_.fd(), &message, MSG_NOSIGNAL);
  if (n >= 0) return {.moved = static_cast<std::size_t>(n)};
  if (errno == EAGAIN || errno == EINTR) return {.wait = Ready::kToWrite};
  return {.error = connection_error(errno)};
}

// A peer that is always ready must not keep the loop to itself.
rt::Task<void> Stream::be_fair() {
  unwaited_ = 0;
  co_await boost::asio::post(loop_.context(), boost::asio::use_awaitable);
}

rt::Task<Status> Stream::accept_tls(rt::Op& op, TlsContext context, rt::SteadyTime until) {
  CO_TRY(tls_, tls_server_session(context, descriptor_.fd()));
  while (true) {
    ERR_clear_error();
    const Attempt attempt = tls_attempt(SSL_do_handshake(tls_.get()), 1);
    if (attempt.error) co_return std::unexpected(*attempt.error);
    if (attempt.moved > 0) co_return Status();
    if (!attempt.wait) co_return fail(Code::kUnavailable, "the caller ended the TLS handshake");
    CO_TRY_OK(co_await descriptor_.wait(op, *attempt.wait, until));
  }
}

rt::Task<Status> Stream::connect(rt::Op& op, SocketAddress address, rt::SteadyTime until) {
  while (true) {
    if (::connect(descriptor_.fd(), address.get(), address.size) == 0) co_return Status();
    if (errno == EINPROGRESS || errno == EINTR) break;
    // A unix socket whose queue is full says so at once and cannot be waited for.
    if (errno != EAGAIN) co_return std::unexpected(connect_error(errno));
    if (std::chrono::steady_clock::now() >= until)
      co_return fail(Code::kTimeout, "its queue is full");
    CO_TRY_OK(co_await rt::sleep_for(op, kFullQueuePause));
  }
  CO_TRY_OK(co_await descriptor_.wait(op, Ready::kToWrite, until));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(descriptor_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return std::unexpected(connect_error(error));
  co_return Status();
}

rt::Task<Result<std::size_t>> Stream::read(rt::Op& op, MutableBytes into, rt::SteadyTime until) {
  CO_TRY_OK(op.check());
  if (!is_open()) co_return fail(Code::kUnavailable, "the connection is closed");
  if (++unwaited_ > kUnwaitedAtMost) co_await be_fair();
  while (true) {
    const Attempt attempt = try_read(into);
    if (attempt.error) co_return std::unexpected(*attempt.error);
    if (!attempt.wait) co_return attempt.moved;
    unwaited_ = 0;
    CO_TRY_OK(co_await descriptor_.wait(op, *attempt.wait, until));
  }
}

rt::Task<Status> Stream::wait_to_send(rt::Op& op, Ready ready, std::chrono::milliseconds stall) {
  const auto began = std::chrono::steady_clock::now();
  Status waited = co_await descriptor_.wait(op, ready, from_now(sending_.allows(stall)));
  sending_.waited(std::chrono::steady_clock::now() - began);
  co_return waited;
}

rt::Task<Status> Stream::write(rt::Op& op, std::span<Bytes> pieces,
                               std::chrono::milliseconds stall) {
  CO_TRY_OK(op.check());
  if (!is_open()) co_return fail(Code::kUnavailable, "the connection is closed");
  if (++unwaited_ > kUnwaitedAtMost) co_await be_fair();
  while (!all_empty(pieces)) {
    const Attempt attempt = try_write(pieces);
    if (attempt.error) co_return std::unexpected(*attempt.error);
    take(pieces, attempt.moved);
    sending_.moved(attempt.moved);
    if (!attempt.wait) continue;
    unwaited_ = 0;
    CO_TRY_OK(co_await wait_to_send(op, *attempt.wait, stall));
  }
  co_return Status();
}

rt::Task<Status> Stream::write(rt::Op& op, Bytes bytes, std::chrono::milliseconds stall) {
  std::array<Bytes, 1> pieces = {bytes};
  co_return co_await write(op, std::span<Bytes>(pieces), stall);
}

rt::Task<Status> Stream::send_file(rt::Op& op, const FileRange& range,
                                   std::chrono::milliseconds stall) {
  if (tls_) co_return co_await send_file_copied(op, range, stall);
  co_return co_await send_file_plain(op, range, stall);
}

rt::Task<Status> Stream::send_file_plain(rt::Op& op, const FileRange& range,
                                         std::chrono::milliseconds stall) {
  std::uint64_t sent = 0;
  while (sent < range.length) {
    CO_TRY_OK(op.check());
    if (!is_open()) co_return fail(Code::kUnavailable, "the connection is closed");
    const Burst burst = co_await rt::blocking(
        loop_, [socket = fd(), file = range.file.get(), at = range.offset + sent,
                length = range.length - sent] { return send_burst(socket, file, at, length); });
    sent += burst.sent;
    sending_.moved(burst.sent);
    if (sent == range.length) break;
    if (burst.error == 0) co_return fail(Code::kCorrupt, "a file became shorter while it was sent");
    if (burst.error != EAGAIN) co_return std::unexpected(connection_error(burst.error));
    CO_TRY_OK(co_await wait_to_send(op, Ready::kToWrite, stall));
  }
  co_return Status();
}

rt::Task<Status> Stream::send_file_copied(rt::Op& op, const FileRange& range,
                                          std::chrono::milliseconds stall) {
  std::vector<std::byte> piece(std::min<std::uint64_t>(kCopyPiece, range.length));
  for (std::uint64_t sent = 0; sent < range.length;) {
    const std::size_t want = std::min<std::uint64_t>(piece.size(), range.length - sent);
    const ssize_t n = co_await rt::blocking(
        loop_, [file = range.file.get(), into = piece.data(), want, at = range.offset + sent] {
          return ::pread(file, into, want, static_cast<off_t>(at));
        });
    if (n <= 0) co_return fail(Code::kCorrupt, "a file became shorter while it was sent");
    CO_TRY_OK(co_await write(op, Bytes(piece).first(static_cast<std::size_t>(n)), stall));
    sent += static_cast<std::uint64_t>(n);
  }
  co_return Status();
}

Peek Stream::peek() {
  std::byte one{};
  if (tls_) {
    std::size_t moved = 0;
    ERR_clear_error();
    const Attempt attempt = tls_attempt(SSL_peek_ex(tls_.get(), &one, 1, &moved), moved);
    if (attempt.wait) return Peek::kNothing;
    return attempt.moved > 0 ? Peek::kData : Peek::kClosed;
  }
  const ssize_t n = ::recv(descriptor_.fd(), &one, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Peek::kNothing;
  return n > 0 ? Peek::kData : Peek::kClosed;
}

void Stream::shutdown_send() {
  if (!is_open()) return;
  if (tls_) SSL_shutdown(tls_.get());
  ::shutdown(fd(), SHUT_WR);
}

}  // namespace berth::http
