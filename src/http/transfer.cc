#include "http/transfer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "base/assert.h"
#include "http/curl_errors.h"
#include "http/outgoing.h"

namespace berth::http {
namespace {

constexpr auto kCurlTooLarge = static_cast<CURLcode>(100);  // CURLE_TOO_LARGE, not in 7.88's header

Transfer& self_of(void* self) { return *static_cast<Transfer*>(self); }

}  // namespace

Transfer::Transfer(rt::Loop& loop, std::shared_ptr<CurlMulti> multi,
                   std::shared_ptr<const ClientOptions> options, Request request, Route route)
    : multi_(std::move(multi)),
      options_(std::move(options)),
      request_(std::move(request)),
      route_(std::move(route)),
      upload_(loop, std::move(request_.body)),
      easy_(curl_easy_init()),
      changed_(loop) {
  BERTH_ASSERT(easy_ != nullptr);
  set_options();
  moved();
}

Transfer::~Transfer() {
  remove();
  curl_easy_cleanup(easy_);
  curl_slist_free_all(header_list_);
  curl_slist_free_all(resolve_list_);
}

void Transfer::remove() {
  if (std::exchange(added_, false)) multi_->remove(easy_, *this);
}

Error Transfer::header_too_large() const {
  return Error(Code::kTooLarge,
               fmt::format("the header of the answer of {} is larger than {}",
                           request_.url.authority(), format_size(options_->limits.header_bytes)));
}

// ---- what curl tells us

std::size_t Transfer::on_header(char* text, std::size_t size, std::size_t count, void* self) {
  const std::string_view line(text, size * count);
  return self_of(self).take_header(line) ? line.size() : 0;
}

// One header line. 1xx answers are passed over: their lines are forgotten when the next status line
// comes.
bool Transfer::take_header(std::string_view line) {
  moved();
  header_bytes_ += line.size();
  if (header_bytes_ > options_->limits.header_bytes) {
    failure_ = header_too_large();
    return false;
  }
  if (head_done_) return true;  // a trailer
  const std::string_view text = trim(line);
  if (line.starts_with("HTTP/")) {
    headers_ = {};
    status_ = 0;
  } else if (text.empty()) {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    status_ = static_cast<int>(status);
    head_done_ = status_ / 100 != 1;
    multi_->touch(*this);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    headers_.add(text.substr(0, colon), trim(text.substr(colon + 1)));
  }
  return true;
}

std::size_t Transfer::on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
  self_of(self).take_body(std::as_bytes(std::span(bytes, size * count)));
  return size * count;
}

// Straight into the buffer of a waiting reader, else into the window. A full window pauses the
// transfer when curl's call is over (settle), which bounds the window by what curl reads in one
// call; pausing in here would make curl copy the rest.
void Transfer::take_body(Bytes bytes) {
  moved();
  multi_->touch(*this);
  if (window_.size() == 0 && !direct_.empty()) {
    const std::size_t n = std::min(bytes.size(), direct_.size() - direct_filled_);
    std::memcpy(direct_.data() + direct_filled_, bytes.data(), n);
    direct_filled_ += n;
    bytes = bytes.subspan(n);
  }
  window_.append(bytes);
}

std::size_t Transfer::on_upload(char* bytes, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = self_of(self);
  transfer.moved();
  transfer.multi_->touch(transfer);
  const auto taken = transfer.upload_.take(std::as_writable_bytes(std::span(bytes, size * count)));
  if (taken) return *taken;
  transfer.send_paused_ = true;
  return CURL_READFUNC_PAUSE;
}

int Transfer::on_seek(void* self, curl_off_t offset, int origin) {
  const bool done =
      origin == SEEK_SET && self_of(self).upload_.rewind(static_cast<std::uint64_t>(offset));
  return done ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

// The last word on an address: whatever curl made of the URL, this is where it is about to connect.
curl_socket_t Transfer::on_open(void* self, curlsocktype, curl_sockaddr* address) {
  Transfer& transfer = self_of(self);
  if (!transfer.route_.proxy) {
    const auto kind = classify(address->addr);
    const Status allowed = transfer.route_.addresses.check(kind.value_or(AddressKind::kSpecial),
                                                           transfer.request_.url.host);
    if (!allowed) {
      transfer.failure_ = allowed.error();
      return CURL_SOCKET_BAD;
    }
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// A reused connection was opened under another request's policy.
int Transfer::on_ready(void* self, char* remote, char*, int, int) {
  Transfer& transfer = self_of(self);
  transfer.connected_ = true;
  transfer.moved();
  if (transfer.route_.proxy) return CURL_PREREQFUNC_OK;
  const auto kind = classify(remote);
  const Status allowed = transfer.route_.addresses.check(kind.value_or(AddressKind::kSpecial),
                                                         transfer.request_.url.host);
  if (allowed) return CURL_PREREQFUNC_OK;
  transfer.failure_ = allowed.error();
  return CURL_PREREQFUNC_ABORT;
}

void Transfer::settle() {
  if (added_ && !recv_paused_ && window_.size() >= options_->limits.window_bytes) {
    recv_paused_ = true;
    multi_->pause(easy_, CURLPAUSE_RECV | (send_paused_ ? CURLPAUSE_SEND : CURLPAUSE_CONT));
  }
  if (feeding_ && head_done_ && status_ >= 300) feeding_->cancel();
  changed_.notify_all();
}

void Transfer::finished(CURLcode code) {
  added_ = false;
  ended_ = true;
  if (code != CURLE_OK && !failure_) {
    // curl has a bound of its own for one header line and reports it like this.
    const bool long_line = !head_done_ && (code == CURLE_OUT_OF_MEMORY || code == kCurlTooLarge);
    failure_ = long_line ? header_too_large() : curl_error(code, request_.url, error_text_.data());
  }
  if (feeding_) feeding_->cancel();
  changed_.notify_all();
}

// ---- what coroutines do

std::chrono::milliseconds Transfer::patience() const {
  const ClientLimits& limits = options_->limits;
  if (!connected_) {
    const auto connecting = time_to_connect();
    return connecting ? *connecting + limits.tls : limits.connect;
  }
  if (!head_done_) return upload_.ended() ? route_.first_byte : limits.upload_stall;
  return limits.stall;
}

// How long it took until there was a connection; from then on TLS, or a proxy's word, is waited
// for.
std::optional<std::chrono::milliseconds> Transfer::time_to_connect() const {
  curl_off_t time = 0;
  curl_easy_getinfo(easy_, CURLINFO_CONNECT_TIME_T, &time);
  if (time <= 0) return std::nullopt;
  return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::microseconds(time));
}

Error Transfer::stalled() const {
  const std::string_view what = !connected_ && time_to_connect()
                                    ? "no TLS connection to {} within {}"
                                : !connected_     ? "no connection to {} within {}"
                                : head_done_      ? "{} sent nothing more for {}"
                                : upload_.ended() ? "{} sent no answer within {}"
                                                  : "{} took nothing of an upload for {}";
  return Error(Code::kTimeout, fmt::format(fmt::runtime(what), request_.url.authority(),
                                           format_duration(patience())));
}

// Until something changed; kTimeout when nothing has moved since `since` or later for as long as is
// allowed.
rt::Task<Status> Transfer::wait(rt::Op& op, rt::SteadyTime since) {
  const rt::SteadyTime seen = last_move_;
  const rt::SteadyTime until = std::max(last_move_, since) + patience();
  const Status waited = co_await changed_.wait_until(op, until);
  if (waited) co_return Status();
  CO_TRY_OK(op.check());
  // What is waited for may be another thing by now, with a patience of its own.
  const rt::SteadyTime now = std::chrono::steady_clock::now();
  if (last_move_ != seen || now < std::max(last_move_, since) + patience()) co_return Status();
  co_return std::unexpected(stalled());
}

bool Transfer::is_bodiless() const {
  return request_.method == "HEAD" || status_ == 204 || status_ == 304;
}

// An answer without a body is over when curl says so: dropping it earlier would drop the
// connection.
bool Transfer::deliverable() const {
  if (!head_done_ || ended_ || is_bodiless()) return head_done_ && ended_;
  return status_ >= 300 || upload_.ended();
}

// Fetches what curl wants to send. An early answer ends the fetch: nobody wants the rest.
rt::Task<Status> Transfer::feed(rt::Op& op) {
  rt::Op feeding(op);
  feeding_ = &feeding;
  const Status refilled = co_await upload_.refill(feeding);
  feeding_ = nullptr;
  moved();
  CO_TRY_OK(op.check());
  if (ended_ || deliverable()) co_return Status();
  if (!refilled) co_return refilled;
  send_paused_ = false;
  multi_->pause(easy_, recv_paused_ ? CURLPAUSE_RECV : CURLPAUSE_CONT);
  co_return Status();
}

rt::Task<Result<Response>> Transfer::exchange(rt::Op& op) {
  added_ = true;
  multi_->add(easy_, *this);
  const rt::SteadyTime begun = std::chrono::steady_clock::now();
  while (!deliverable()) {
    if (ended_ || failure_) {
      co_return std::unexpected(failure_.value_or(
          Error(Code::kUnavailable, request_.url.authority() + " sent no answer")));
    }
    if (upload_.wants_data()) {
      CO_TRY_OK(co_await feed(op));
    } else {
      CO_TRY_OK(co_await wait(op, begun));
    }
  }
  give_up_upload();
  co_return Response{.status = status_, .headers = std::move(headers_), .body = {}};
}

// After an early answer curl sends no more, but a send that was paused before would keep the
// transfer from ending.
void Transfer::give_up_upload() {
  if (!std::exchange(send_paused_, false) || !added_) return;
  multi_->pause(easy_, recv_paused_ ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

bool Transfer::body_is_empty() const {
  return is_bodiless() || (ended_ && !failure_ && window_.size() == 0);
}

std::optional<std::uint64_t> Transfer::content_length() const {
  curl_off_t length = -1;
  curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(length));
}

// Lets a paused transfer go on when the reader has made room.
void Transfer::let_flow() {
  if (!recv_paused_ || window_.size() > options_->limits.window_bytes / 2) return;
  recv_paused_ = false;
  if (added_) multi_->pause(easy_, send_paused_ ? CURLPAUSE_SEND : CURLPAUSE_CONT);
}

rt::Task<Result<std::size_t>> Transfer::read(rt::Op& op, MutableBytes into) {
  CO_TRY_OK(op.check());
  if (into.empty()) co_return 0;
  if (window_.size() == 0 && !ended_) {
    const rt::SteadyTime begun = std::chrono::steady_clock::now();
    direct_ = into;
    direct_filled_ = 0;
    let_flow();
    Status waited;
    while (waited && direct_filled_ == 0 && !ended_) waited = co_await wait(op, begun);
    direct_ = {};
    const std::size_t filled = std::exchange(direct_filled_, 0);
    if (filled > 0) co_return filled;
    if (!waited) co_return std::unexpected(waited.error());
  }
  const std::size_t taken = window_.take(into);
  let_flow();
  if (taken == 0 && failure_) co_return std::unexpected(*failure_);
  co_return taken;
}

}  // namespace berth::http
