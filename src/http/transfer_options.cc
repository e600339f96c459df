// The part of Transfer that sets curl's options.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "http/transfer.h"

namespace berth::http {
namespace {

constexpr long kReceivePiece = 512 * 1024;  // the most that curl takes in one call
constexpr long kSendPiece = 512 * 1024;
constexpr std::chrono::milliseconds kConnectGrace{2'000};

// Framing and connections are curl's business, and Expect only costs a round trip.
constexpr std::array<std::string_view, 4> kCurlsHeaders = {"content-length", "transfer-encoding",
                                                           "connection", "expect"};

bool is_curls(std::string_view name) {
  return std::ranges::any_of(kCurlsHeaders, [name](auto ours) { return iequals(ours, name); });
}

bool always_has_length(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

}  // namespace

void Transfer::set_options() {
  curl_easy_setopt(easy_, CURLOPT_URL, request_.url.to_string().c_str());
  curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kReceivePiece);
  curl_easy_setopt(easy_, CURLOPT_UPLOAD_BUFFERSIZE, kSendPiece);
  // The waits are ours (Transfer::patience); this is for what curl does out of our sight.
  const auto connecting = options_->limits.connect + options_->limits.tls + kConnectGrace;
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connecting.count()));
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_.data());
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, options_->user_agent.c_str());
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_open);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &Transfer::on_ready);
  curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
  set_request_options();
  set_headers();
  set_route();
  set_tls();
}

void Transfer::set_request_options() {
  if (request_.method == "HEAD") {
    curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
    return;
  }
  if (!upload_.empty() || always_has_length(request_.method)) {
    curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &Transfer::on_upload);
    curl_easy_setopt(easy_, CURLOPT_READDATA, this);
    curl_easy_setopt(easy_, CURLOPT_SEEKFUNCTION, &Transfer::on_seek);
    curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
    const auto length = upload_.length();
    curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE,
                     length ? static_cast<curl_off_t>(*length) : curl_off_t{-1});
  }
  // After UPLOAD, which would make it a PUT.
  curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
}

void Transfer::set_headers() {
  header_list_ = curl_slist_append(header_list_, "Expect:");
  for (const auto& [name, value] : request_.headers) {
    if (is_curls(name)) continue;
    const std::string line = value.empty() ? name + ";" : fmt::format("{}: {}", name, value);
    header_list_ = curl_slist_append(header_list_, line.c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, header_list_);
}

void Transfer::set_route() {
  curl_easy_setopt(easy_, CURLOPT_PROXY, route_.proxy ? route_.proxy->c_str() : "");
  curl_easy_setopt(easy_, CURLOPT_NOPROXY, "");
  curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (!route_.resolve) return;
  resolve_list_ = curl_slist_append(resolve_list_, route_.resolve->c_str());
  curl_easy_setopt(easy_, CURLOPT_RESOLVE, resolve_list_);
}

void Transfer::set_tls() {
  const bool check = options_->tls_check == TlsCheck::kOn;
  curl_easy_setopt(easy_, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, check ? 1L : 0L);
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, check ? 2L : 0L);
  const auto own = options_->tls_of.find(request_.url.authority());
  const ClientTlsFiles files = own == options_->tls_of.end() ? ClientTlsFiles{} : own->second;
  const std::string& ca = files.ca_file.empty() ? options_->ca_file : files.ca_file;
  if (!ca.empty()) curl_easy_setopt(easy_, CURLOPT_CAINFO, ca.c_str());
  const bool own_certificate = !files.client_certificate.empty();
  const std::string& certificate =
      own_certificate ? files.client_certificate : options_->client_certificate;
  const std::string& key = own_certificate ? files.client_key : options_->client_key;
  if (certificate.empty()) return;
  curl_easy_setopt(easy_, CURLOPT_SSLCERT, certificate.c_str());
  curl_easy_setopt(easy_, CURLOPT_SSLKEY, key.c_str());
}

}  // namespace berth::http
