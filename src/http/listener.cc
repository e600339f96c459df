#include "http/listener.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace berth::http {
namespace {

constexpr int kBacklog = 512;

SocketAddress peer_address(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (::getpeername(fd, address.get(), &address.size) != 0) address.storage.ss_family = AF_UNIX;
  return address;
}

int uid_of_peer(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -1;
  return static_cast<int>(credentials.uid);
}

std::unexpected<Error> cannot_listen(const std::string& where, int error) {
  if (error == EADDRINUSE) {
    return fail(Code::kConflict,
                "cannot listen on {}: it is in use; stop the other server or choose another",
                where);
  }
  return fail_errno(error, "cannot listen on " + where);
}

std::pair<dev_t, ino_t> identity(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

// Whether some process accepts connections on the socket file.
bool somebody_answers(const SocketAddress& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return ::connect(probe.get(), address.get(), address.size) == 0 || errno == EAGAIN;
}

Status clear_stale(const std::string& path, const SocketAddress& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return fail(Code::kConflict,
                "cannot listen on {}: a file that is no socket is there; move it away", path);
  }
  if (somebody_answers(address)) {
    return fail(Code::kConflict, "cannot listen on {}: another server answers there", path);
  }
  if (::unlink(path.c_str()) != 0)
    return fail_errno(errno, "cannot remove the stale socket " + path);
  return {};
}

}  // namespace

Arrival arrival_of(int fd) {
  const SocketAddress peer = peer_address(fd);
  if (peer.family() == AF_UNIX)
    return {.peer = "unix", .peer_uid = uid_of_peer(fd), .secure = false};
  return {.peer = tcp_endpoint(peer).address, .peer_uid = -1, .secure = false};
}

Result<std::unique_ptr<Listener>> Listener::tcp(rt::Loop& loop, const TcpEndpoint& endpoint,
                                                PortSharing sharing) {
  const std::string where = to_string(Endpoint(endpoint));
  TRY(const SocketAddress address, socket_address(endpoint));
  TRY(UniqueFd fd, stream_socket(address));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (sharing == PortSharing::kReusePort) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  }
  if (::bind(fd.get(), address.get(), address.size) != 0) return cannot_listen(where, errno);
  if (::listen(fd.get(), kBacklog) != 0) return cannot_listen(where, errno);
  return std::unique_ptr<Listener>(new Listener(loop, std::move(fd), ""));
}

Result<std::unique_ptr<Listener>> Listener::unix_socket(rt::Loop& loop, const std::string& path) {
  TRY(const SocketAddress address, socket_address(UnixEndpoint{path}));
  TRY_OK(clear_stale(path, address));
  TRY(UniqueFd fd, stream_socket(address));
  // bind() makes the file with the descriptor's mode less the umask: nobody else can connect, not
  // even for a moment.
  ::fchmod(fd.get(), S_IRUSR | S_IWUSR);
  if (::bind(fd.get(), address.get(), address.size) != 0) return cannot_listen(path, errno);
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    const int error = errno;
    ::unlink(path.c_str());
    return cannot_listen(path, error);
  }
  auto listener = std::unique_ptr<Listener>(new Listener(loop, std::move(fd), path));
  listener->file_ = identity(path);
  return listener;
}

Listener::~Listener() { close(); }

void Listener::close() {
  // Another server may have put its own socket there since.
  if (descriptor_.is_open() && !path_.empty() && identity(path_) == file_) ::unlink(path_.c_str());
  descriptor_.close();
}

rt::Task<Result<Accepted>> Listener::accept(rt::Op& op) {
  while (true) {
    CO_TRY_OK(op.check());
    if (!descriptor_.is_open()) co_return fail(Code::kCancelled, "the listener was closed");
    UniqueFd fd(::accept4(descriptor_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      Arrival arrival = arrival_of(fd.get());
      if (!arrival.on_unix_socket()) set_no_delay(fd.get());
      co_return Accepted{.fd = std::move(fd), .arrival = std::move(arrival)};
    }
    // Callers that gave up while they waited are no concern of ours (ECONNABORTED and the network's
    // errors).
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      co_return fail_errno(errno, "cannot accept a connection");
    }
    if (errno == EAGAIN) CO_TRY_OK(co_await descriptor_.wait(op, Ready::kToRead, kNever));
  }
}

TcpEndpoint Listener::bound() const {
  SocketAddress address;
  address.size = sizeof address.storage;
  ::getsockname(descriptor_.fd(), address.get(), &address.size);
  return tcp_endpoint(address);
}

}  // namespace berth::http
