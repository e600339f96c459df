// Server-side TLS on OpenSSL: contexts from files and one session per connection. Private to http.
//
// OpenSSL is used directly and not through Asio's ssl::stream, whose composed operations cost
// compile time and a second buffer; libcurl does TLS for the client. TLS 1.2 or newer, HTTP/1.1
// offered by ALPN.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"

struct ssl_ctx_st;
struct ssl_st;

namespace berth::http {

using TlsContext = std::shared_ptr<ssl_ctx_st>;
struct TlsSessionDeleter {
  void operator()(ssl_st* session) const;
};
using TlsSession = std::unique_ptr<ssl_st, TlsSessionDeleter>;

// kNotFound, kDenied or kInvalid naming the file.
Result<TlsContext> tls_context(const std::string& certificate, const std::string& key);
// A session of a server on a connected, non-blocking socket.
Result<TlsSession> tls_server_session(const TlsContext& context, int fd);
// The oldest error in OpenSSL's queue, which is emptied.
std::string tls_error();

}  // namespace berth::http
