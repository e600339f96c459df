// libcurl's multi interface on the loop: sockets, timer and messages. Private to http.
//
// Loop thread. curl is never entered from one of its own callbacks: what they find out is acted on
// when the call has returned.
#pragma once

#include <curl/curl.h>
#include <map>
#include <memory>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "rt/loop.h"

namespace berth::http {

// One easy handle's owner, as CurlMulti sees it.
struct CurlUser {
  virtual ~CurlUser() = default;
  // After a call into curl in which a callback of this user asked for it by CurlMulti::touch().
  virtual void settle() = 0;
  // The transfer is over and the handle is no longer with curl.
  virtual void finished(CURLcode code) = 0;
  bool touched = false;
};

class CurlMulti {
 public:
  explicit CurlMulti(rt::Loop& loop);
  ~CurlMulti();
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;

  void add(CURL* easy, CurlUser& user);
  void remove(CURL* easy, CurlUser& user);
  // CURLPAUSE_…; callbacks may run.
  void pause(CURL* easy, int directions);
  void touch(CurlUser& user);

 private:
  struct Watch;
  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* watch);
  static int on_timer(CURLM* multi, long milliseconds, void* self);

  void watch(curl_socket_t fd, int what);
  void forget(curl_socket_t fd);
  static void arm_read(const std::shared_ptr<Watch>& watch);
  static void arm_write(const std::shared_ptr<Watch>& watch);
  void act(curl_socket_t fd, int events);
  void take_messages();
  void settle_touched();

  rt::Loop& loop_;
  CURLM* multi_;
  boost::asio::steady_timer timer_;
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches_;
  std::vector<CurlUser*> touched_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace berth::http
