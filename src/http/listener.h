// A listening socket, TCP or unix. Private to http.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>

#include "http/descriptor.h"
#include "http/request_head.h"
#include "http/server.h"
#include "http/socket_address.h"
#include "http/tls.h"

namespace berth::http {

struct Accepted {
  UniqueFd fd;
  Arrival arrival;
};

class Listener {
 public:
  static Result<std::unique_ptr<Listener>> tcp(rt::Loop& loop, const TcpEndpoint& endpoint,
                                               PortSharing sharing);
  // Removes a socket file on which nobody answers; the file goes with the Listener.
  static Result<std::unique_ptr<Listener>> unix_socket(rt::Loop& loop, const std::string& path);
  ~Listener();

  // The next caller; kCancelled after close(). kExhausted when descriptors ran out: wait a little.
  rt::Task<Result<Accepted>> accept(rt::Op& op);
  void close();

  TcpEndpoint bound() const;

  std::optional<TlsFiles> tls_files;
  TlsContext tls;

 private:
  Listener(rt::Loop& loop, UniqueFd fd, std::string path)
      : descriptor_(loop, std::move(fd)), path_(std::move(path)) {}

  Descriptor descriptor_;
  std::string path_;  // of a unix socket
  std::pair<dev_t, ino_t> file_{};
};

// Who is at the other end of a connected socket.
Arrival arrival_of(int fd);

}  // namespace berth::http
