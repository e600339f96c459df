#include "http/socket_address.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

namespace berth::http {
namespace {

template <class Address>
SocketAddress wrap(const Address& address) {
  SocketAddress wrapped;
  std::memcpy(&wrapped.storage, &address, sizeof address);
  wrapped.size = sizeof address;
  return wrapped;
}

Result<SocketAddress> address_of(const UnixEndpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.path.empty() || endpoint.path.find('\0') != std::string::npos) {
    return fail(Code::kInvalid, "a socket needs a path");
  }
  if (endpoint.path.size() >= sizeof address.sun_path) {
    return fail(
        Code::kInvalid,
        "the socket path {} is {} bytes long and the system allows {}; choose a shorter folder",
        endpoint.path, endpoint.path.size(), sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, endpoint.path.data(), endpoint.path.size());
  return wrap(address);
}

Result<SocketAddress> address_of(const TcpEndpoint& endpoint) {
  const std::string literal = endpoint.address == "localhost" ? "127.0.0.1" : endpoint.address;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(endpoint.port);
  if (inet_pton(AF_INET, literal.c_str(), &four.sin_addr) == 1) return wrap(four);
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(endpoint.port);
  if (inet_pton(AF_INET6, literal.c_str(), &six.sin6_addr) == 1) return wrap(six);
  return fail(
      Code::kInvalid,
      "\"{}\" is not an IP address to listen on or connect to; write one such as 127.0.0.1 or ::1",
      printable(endpoint.address, 100));
}

}  // namespace

std::string to_string(const Endpoint& endpoint) {
  if (const auto* unix_socket = std::get_if<UnixEndpoint>(&endpoint)) return unix_socket->path;
  const auto& tcp = std::get<TcpEndpoint>(endpoint);
  if (tcp.address.find(':') == std::string::npos)
    return fmt::format("{}:{}", tcp.address, tcp.port);
  return fmt::format("[{}]:{}", tcp.address, tcp.port);
}

Result<SocketAddress> socket_address(const Endpoint& endpoint) {
  return std::visit([](const auto& kind) { return address_of(kind); }, endpoint);
}

TcpEndpoint tcp_endpoint(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.family() == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address.storage, sizeof four);
    inet_ntop(AF_INET, &four.sin_addr, text.data(), text.size());
    return {.address = text.data(), .port = ntohs(four.sin_port)};
  }
  sockaddr_in6 six{};
  std::memcpy(&six, &address.storage, sizeof six);
  inet_ntop(AF_INET6, &six.sin6_addr, text.data(), text.size());
  return {.address = text.data(), .port = ntohs(six.sin6_port)};
}

Result<UniqueFd> stream_socket(const SocketAddress& address) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot open a socket");
  if (address.family() != AF_UNIX) set_no_delay(fd.get());
  return fd;
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace berth::http
