// The HTTP client for the world outside: libcurl's multi interface driven by the loop.
//
// Loop thread. HTTP/1.1 only (several connections are several), TLS 1.2 or newer, connections are
// reused. Redirects are never followed and bodies never decompressed: the caller sees what came.
// `handle` is done when the final headers came; the body is a Reader over a bounded window that
// holds the peer back when it is full. Destroying the Reader early, or cancelling the Op, ends the
// transfer. A Response may outlive the Client.
//
// An answer of 300 or more that comes while the upload is still being sent is delivered at once and
// the rest of the upload is given up; one below 300 is delivered when the upload has ended.
//
// Failures: kUnavailable (no connection, TLS, cut short), kTimeout, kCancelled, kDenied (address
// policy), kTooLarge (header), kInvalid (a header value with a line break), and those of a body
// Reader or file that is uploaded.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "http/address.h"
#include "http/message.h"
#include "rt/loop.h"

namespace berth::http {

// How long a client waits and how much it holds. A stall is a time in which no byte moved though we
// were willing.
struct ClientLimits {
  std::chrono::milliseconds connect{10'000};
  std::chrono::milliseconds tls{10'000};  // and the proxy's part, once there is a connection
  std::chrono::milliseconds first_byte{
      30'000};  // from the end of the upload to the first byte of the answer
  std::chrono::milliseconds stall{15'000};
  std::chrono::milliseconds upload_stall{15'000};  // an upload of which the kernel accepts nothing
  std::size_t header_bytes = 64 * 1024;
  std::size_t window_bytes = 2 * 1024 * 1024;  // received but not yet read
};

struct ProxySettings {
  std::string http;   // for http:// URLs, "" for none; "http://[user:password@]host:port", https://
                      // and socks5h:// too
  std::string https;  // for https:// URLs
  std::string
      exclude;  // NO_PROXY: comma-separated names, ".suffix", addresses, "host:port", CIDR, or "*"

  // http_proxy (lower case only, as CGI servers are told to), HTTPS_PROXY, ALL_PROXY and NO_PROXY
  // in both cases.
  static ProxySettings from_environment();
  // The proxy for this URL; nullopt for a direct connection. Loopback is always direct.
  std::optional<std::string> proxy_for(const Url& url) const;
};

enum class TlsCheck { kOn, kOff };

struct ClientTlsFiles {
  std::string ca_file;             // PEM; empty: the system's store
  std::string client_certificate;  // PEM files
  std::string client_key;
};

struct ClientOptions {
  std::string user_agent = "berth/" BERTH_VERSION;
  ClientLimits limits;
  AddressPolicy addresses;  // of handle(); handle_with() takes another
  ProxySettings proxy = ProxySettings::from_environment();
  TlsCheck tls_check = TlsCheck::kOn;
  std::string ca_file;             // PEM; empty: the system's store
  std::string client_certificate;  // PEM files
  std::string client_key;
  // Files of their own for these places (host or host:port, as Url::authority writes it); what is
  // empty there is as above.
  std::map<std::string, ClientTlsFiles> tls_of;
  // Names that are not looked up but lead here ("registry.test:443" -> "127.0.0.1"); judged like
  // any address.
  std::map<std::string, std::string> pinned;
};

class Client : public Service {
 public:
  explicit Client(rt::Loop& loop, ClientOptions options = {});
  ~Client() override;

  rt::Task<Result<Response>> handle(rt::Op& op, Request request) override;
  // With another address policy, and more patience where a server has much to do before it answers.
  rt::Task<Result<Response>> handle_with(
      rt::Op& op, Request request, AddressPolicy addresses,
      std::optional<std::chrono::milliseconds> first_byte = std::nullopt);

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace berth::http
