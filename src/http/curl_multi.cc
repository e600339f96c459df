#include "http/curl_multi.h"

#include <algorithm>
#include <chrono>
#include <poll.h>
#include <utility>

#include "base/assert.h"
#include "http/curl_library.h"

namespace berth::http {
namespace asio = boost::asio;
namespace {

constexpr long kIdleConnections = 64;

CURLM* make_multi() {
  // Once for the process and never undone: other libraries may use curl and OpenSSL too.
  static const CURLcode started = curl().global_init(CURL_GLOBAL_DEFAULT);
  BERTH_ASSERT(started == CURLE_OK);
  CURLM* multi = curl().multi_init();
  BERTH_ASSERT(multi != nullptr);
  return multi;
}

bool readable_now(int fd) {
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

}  // namespace

// A socket of curl's. curl owns the descriptor; it is only lent to asio while curl wants to hear of
// it.
struct CurlMulti::Watch {
  Watch(CurlMulti& its_owner, curl_socket_t its_fd)
      : owner(&its_owner), fd(its_fd), descriptor(its_owner.loop_.context()) {
    boost::system::error_code error;
    descriptor.assign(fd, error);
  }

  CurlMulti* owner;  // null when curl has taken the socket back
  curl_socket_t fd;
  asio::posix::stream_descriptor descriptor;
  bool wants_read = false;
  bool wants_write = false;
  bool read_armed = false;
  bool write_armed = false;
};

CurlMulti::CurlMulti(rt::Loop& loop) : loop_(loop), multi_(make_multi()), timer_(loop.context()) {
  curl().multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlMulti::on_socket);
  curl().multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl().multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlMulti::on_timer);
  curl().multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl().multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kIdleConnections);
}

CurlMulti::~CurlMulti() {
  *alive_ = false;
  curl().multi_cleanup(multi_);  // closes idle connections, by on_socket
  while (!watches_.empty()) forget(watches_.begin()->first);
}

void CurlMulti::add(CURL* easy, CurlUser& user) {
  curl().easy_setopt(easy, CURLOPT_PRIVATE, &user);
  BERTH_ASSERT(curl().multi_add_handle(multi_, easy) == CURLM_OK);
}

void CurlMulti::remove(CURL* easy, CurlUser& user) {
  curl().multi_remove_handle(multi_, easy);
  std::erase(touched_, &user);
}

void CurlMulti::pause(CURL* easy, int directions) {
  curl().easy_pause(easy, directions);
  settle_touched();
}

void CurlMulti::touch(CurlUser& user) {
  if (std::exchange(user.touched, true)) return;
  touched_.push_back(&user);
}

int CurlMulti::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  auto* multi = static_cast<CurlMulti*>(self);
  if (what == CURL_POLL_REMOVE) {
    multi->forget(fd);
  } else {
    multi->watch(fd, what);
  }
  return 0;
}

void CurlMulti::watch(curl_socket_t fd, int what) {
  std::shared_ptr<Watch>& watch = watches_[fd];
  if (!watch) watch = std::make_shared<Watch>(*this, fd);
  watch->wants_read = (what & CURL_POLL_IN) != 0;
  watch->wants_write = (what & CURL_POLL_OUT) != 0;
  arm_read(watch);
  arm_write(watch);
}

void CurlMulti::forget(curl_socket_t fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  found->second->owner = nullptr;
  found->second->descriptor.release();
  watches_.erase(found);
}

void CurlMulti::arm_read(const std::shared_ptr<Watch>& watch) {
  if (!watch->owner || !watch->wants_read || std::exchange(watch->read_armed, true)) return;
  watch->descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                               [watch](boost::system::error_code error) {
                                 watch->read_armed = false;
                                 if (error || !watch->owner) return;
                                 if (watch->wants_read)
                                   watch->owner->act(watch->fd, CURL_CSELECT_IN);
                                 arm_read(watch);
                               });
}

void CurlMulti::arm_write(const std::shared_ptr<Watch>& watch) {
  if (!watch->owner || !watch->wants_write || std::exchange(watch->write_armed, true)) return;
  watch->descriptor.async_wait(asio::posix::descriptor_base::wait_write,
                               [watch](boost::system::error_code error) {
                                 watch->write_armed = false;
                                 if (error || !watch->owner) return;
                                 // An early answer must be seen before the next write fails on a
                                 // closed connection.
                                 const int also = readable_now(watch->fd) ? CURL_CSELECT_IN : 0;
                                 if (watch->wants_write)
                                   watch->owner->act(watch->fd, CURL_CSELECT_OUT | also);
                                 arm_write(watch);
                               });
}

int CurlMulti::on_timer(CURLM*, long milliseconds, void* self) {
  auto* multi = static_cast<CurlMulti*>(self);
  if (milliseconds < 0) {
    multi->timer_.cancel();
    return 0;
  }
  multi->timer_.expires_after(std::chrono::milliseconds(milliseconds));
  multi->timer_.async_wait([multi, alive = multi->alive_](boost::system::error_code error) {
    if (!error && *alive) multi->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlMulti::act(curl_socket_t fd, int events) {
  int running = 0;
  curl().multi_socket_action(multi_, fd, events, &running);
  settle_touched();
  take_messages();
}

void CurlMulti::settle_touched() {
  while (!touched_.empty()) {
    CurlUser* user = touched_.back();
    touched_.pop_back();
    user->touched = false;
    user->settle();
  }
}

void CurlMulti::take_messages() {
  int left = 0;
  while (const CURLMsg* message = curl().multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;
    CurlUser* user = nullptr;
    curl().easy_getinfo(easy, CURLINFO_PRIVATE, &user);
    remove(easy, *user);
    user->touched = false;
    user->finished(code);
  }
}

}  // namespace berth::http
