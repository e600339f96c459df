#include "http/curl_errors.h"

#include <algorithm>
#include <array>

#include "http/curl_library.h"

namespace berth::http {
namespace {

struct Row {
  CURLcode curl;
  Code code;
  std::string_view what;  // "<what> <host>: <detail>; <hint>"
  std::string_view hint;
};

constexpr std::string_view kUntrusted = "cannot trust the TLS certificate of";
constexpr std::string_view kAgain = "try again";

constexpr std::array kRows = {
    Row{CURLE_COULDNT_RESOLVE_HOST, Code::kUnavailable, "cannot find",
        "check the name and the network"},
    Row{CURLE_COULDNT_RESOLVE_PROXY, Code::kUnavailable, "cannot find the proxy for",
        "check HTTPS_PROXY and http_proxy"},
    Row{CURLE_COULDNT_CONNECT, Code::kUnavailable, "cannot connect to",
        "check the address and that the server runs"},
    Row{CURLE_OPERATION_TIMEDOUT, Code::kTimeout, "no connection in time to",
        "check the address and the network"},
    Row{CURLE_PEER_FAILED_VERIFICATION, Code::kUnavailable, kUntrusted, ""},
    Row{CURLE_SSL_CONNECT_ERROR, Code::kUnavailable, "no TLS connection to", ""},
    Row{CURLE_SSL_CACERT_BADFILE, Code::kInvalid, "cannot read the CA certificates for",
        "check the configured file"},
    Row{CURLE_SSL_CERTPROBLEM, Code::kInvalid, "cannot use the client certificate for",
        "check the configured files"},
    Row{CURLE_GOT_NOTHING, Code::kUnavailable, "no answer from", kAgain},
    Row{CURLE_WEIRD_SERVER_REPLY, Code::kUnavailable, "no HTTP answer from",
        "check the address and the port"},
    Row{CURLE_UNSUPPORTED_PROTOCOL, Code::kUnavailable, "no HTTP answer from",
        "check the address and the port"},
    Row{CURLE_RECV_ERROR, Code::kUnavailable, "the connection broke to", kAgain},
    Row{CURLE_SEND_ERROR, Code::kUnavailable, "the connection broke to", kAgain},
    Row{CURLE_PARTIAL_FILE, Code::kUnavailable, "an answer was cut short by", kAgain},
    Row{CURLE_SEND_FAIL_REWIND, Code::kUnavailable, "an upload has to be begun again to", kAgain},
    Row{CURLE_PROXY, Code::kUnavailable, "the proxy gave no connection to",
        "check HTTPS_PROXY and http_proxy"},
    Row{CURLE_URL_MALFORMAT, Code::kInvalid, "curl does not take the URL for", "check the address"},
    Row{CURLE_OUT_OF_MEMORY, Code::kExhausted, "no memory for a transfer with", kAgain},
};
constexpr Row kOther{CURLE_OK, Code::kUnavailable, "the exchange failed with", kAgain};

}  // namespace

Error curl_error(CURLcode code, const Url& url, std::string_view detail,
                 const ClientOptions& options) {
  const auto found = std::ranges::find(kRows, code, &Row::curl);
  const Row& row = found == kRows.end() ? kOther : *found;
  const std::string reason = printable(detail.empty() ? curl().easy_strerror(code) : detail, 300);
  std::string_view hint = row.hint;
  if (code == CURLE_PEER_FAILED_VERIFICATION) hint = options.trust_advice;
  if (code == CURLE_SSL_CONNECT_ERROR) hint = options.no_tls_advice;
  return Error(row.code, fmt::format("{} {}: {}; {}", row.what, url.authority(), reason, hint));
}

bool is_untrusted(const Error& error) { return error.message().contains(kUntrusted); }

}  // namespace berth::http
