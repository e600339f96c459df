// Endpoints as the kernel's socket addresses. Private to http.
#pragma once

#include <string>
#include <sys/socket.h>

#include "base/error.h"
#include "base/unique_fd.h"
#include "http/connection.h"

namespace berth::http {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// kInvalid for a path over 107 bytes or an address that is no literal ("localhost" is 127.0.0.1).
Result<SocketAddress> socket_address(const Endpoint& endpoint);
// "127.0.0.1" and port of an AF_INET or AF_INET6 address.
TcpEndpoint tcp_endpoint(const SocketAddress& address);
// A non-blocking stream socket of the address's family; TCP without Nagle's delay.
Result<UniqueFd> stream_socket(const SocketAddress& address);
void set_no_delay(int fd);

}  // namespace berth::http
