#include "http/tls.h"

#include <array>
#include <cerrno>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

namespace berth::http {
namespace {

// "http/1.1" in ALPN's wire form; a caller that offers only h2 gets no protocol and finds out.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11 - 1, offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

Status check_readable(const std::string& file, std::string_view what) {
  if (::access(file.c_str(), R_OK) == 0) return {};
  return fail_errno(errno, fmt::format("cannot read the TLS {} {}", what, file));
}

}  // namespace

void TlsSessionDeleter::operator()(ssl_st* session) const { SSL_free(session); }

std::string tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  std::array<char, 256> text{};
  if (code == 0) return "no reason given";
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

Result<TlsContext> tls_context(const std::string& certificate, const std::string& key) {
  TRY_OK(check_readable(certificate, "certificate"));
  TRY_OK(check_readable(key, "key"));
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return fail(Code::kInternal, "cannot set up TLS: {}", tls_error());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1) {
    return fail(Code::kInvalid, "{} holds no usable PEM certificate: {}", certificate, tls_error());
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return fail(Code::kInvalid, "{} holds no PEM key that fits {}: {}", key, certificate,
                tls_error());
  }
  return context;
}

Result<TlsSession> tls_server_session(const TlsContext& context, int fd) {
  TlsSession session(SSL_new(context.get()));
  if (!session || SSL_set_fd(session.get(), fd) != 1) {
    return fail(Code::kInternal, "cannot set up TLS for a connection: {}", tls_error());
  }
  SSL_set_accept_state(session.get());
  return session;
}

}  // namespace berth::http
