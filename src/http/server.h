// The HTTP/1.1 server: listeners and connections in front of one Service.
//
// Loop thread. Heads are bounded and strict (RFC 9112; facts/security.md B.9 points 2 and 6): one
// Host, no Content-Length beside Transfer-Encoding, an absolute-form target must agree with Host. A
// request's body is a Reader that may be left unread. A body of unknown length goes out chunked,
// each read of its Reader at once; a FileRange by sendfile. HEAD answers carry no body. A caller
// that goes away cancels the Op of its request. A Service's failure becomes 504 (kTimeout), 502
// (kUnavailable) or 500 in plain text. TLS is OpenSSL's, used directly
// (tls.h says why not Asio's ssl::stream); libcurl has its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/connection.h"
#include "http/message.h"
#include "http/network.h"
#include "rt/loop.h"

namespace berth::http {

struct ServerLimits {
  std::chrono::milliseconds head{10'000};         // from the first byte of a head to its last
  std::chrono::milliseconds idle{60'000};         // between requests
  std::chrono::milliseconds body_stall{60'000};   // no byte of a request's body
  std::chrono::milliseconds write_stall{60'000};  // the caller takes no byte of the answer
  // A caller that gives or takes less than this on average keeps its connection for `slow` only.
  std::uint64_t least_rate = 1024;  // bytes a second; 0: any
  std::chrono::milliseconds slow{60'000};
  std::chrono::milliseconds drain{10'000};  // for what is in flight after stop()
  std::size_t head_bytes = 32 * 1024;
  std::size_t connections = 512;  // more wait in the kernel's queue
  // Of one address or IPv6 /64; 0: any. Those over it are answered by
  // Server::answer_excess()'s Service, or closed at once.
  std::size_t connections_per_client = 0;
  std::vector<Network> uncounted;  // clients without that limit: proxies
};

struct TlsFiles {
  std::string certificate;  // PEM chain
  std::string key;          // PEM
};

enum class PortSharing { kNo, kReusePort };

class Server {
 public:
  Server(rt::Loop& loop, Service& service, ServerLimits limits = {});
  ~Server();  // after serve() has returned

  // Binds and listens; port 0 takes a free one. Returns what was bound. kConflict when the port is
  // taken, kInvalid for an address that is no literal ("localhost" is 127.0.0.1).
  Result<TcpEndpoint> listen_tcp(std::string_view address, std::uint16_t port,
                                 PortSharing sharing = PortSharing::kNo);
  Result<TcpEndpoint> listen_tls(std::string_view address, std::uint16_t port, TlsFiles files,
                                 PortSharing sharing = PortSharing::kNo);
  // Mode 0600. A stale socket file is replaced when nobody answers on it; otherwise kConflict.
  // Removed at the end.
  Status listen_unix(std::string_view path);
  // A connected socket from elsewhere (a socketpair, socket activation), served like an accepted
  // one.
  void adopt(UniqueFd connected);
  // Reads the certificate and key files again; on failure the old ones stay in use.
  Status reload_tls();

  // Answers one request of each connection that its client has too many of, a few of them at a
  // time: "wait" says more to a client than a closed connection. It must not be slow.
  void answer_excess(Service& service);

  // Accepts and serves until stop() or the end of `op`; returns when every connection is gone.
  // stop() lets requests in flight finish within `limits.drain`, then cancels them; cancelling `op`
  // cancels them at once.
  rt::Task<Status> serve(rt::Op& op);
  void stop();

  std::size_t connections() const;
  std::uint64_t accepted() const;  // since the start

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace berth::http
