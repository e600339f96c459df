// One exchange with curl: the easy handle, what it received so far and what is still to be sent.
// Private to http.
//
// Loop thread. curl's callbacks only record; coroutines wait on `wait` and look again. It may
// outlive the Client.
#pragma once

#include <array>
#include <curl/curl.h>
#include <memory>
#include <optional>
#include <string>

#include "http/byte_queue.h"
#include "http/client.h"
#include "http/curl_multi.h"
#include "http/upload.h"
#include "rt/async.h"

namespace berth::http {

struct Route {
  std::optional<std::string> proxy;
  std::optional<std::string> resolve;  // CURLOPT_RESOLVE entry: host:port:address,…
  AddressPolicy addresses;
  std::chrono::milliseconds first_byte;
};

class Transfer : public CurlUser {
 public:
  Transfer(rt::Loop& loop, std::shared_ptr<CurlMulti> multi,
           std::shared_ptr<const ClientOptions> options, Request request, Route route);
  ~Transfer() override;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Sends the request; done when the answer may be delivered (client.h).
  rt::Task<Result<Response>> exchange(rt::Op& op);
  // The next part of the body; 0 at its end.
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into);

  // Whether the body is wholly here and empty.
  bool body_is_empty() const;
  std::optional<std::uint64_t> content_length() const;

  void settle() override;
  void finished(CURLcode code) override;

 private:
  static std::size_t on_header(char* text, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self);
  static std::size_t on_upload(char* bytes, std::size_t size, std::size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address);
  static int on_ready(void* self, char* remote, char* local, int remote_port, int local_port);

  void set_options();
  void set_request_options();
  void set_headers();
  void set_route();
  void set_tls();
  bool take_header(std::string_view line);
  void take_body(Bytes bytes);
  void moved() { last_move_ = std::chrono::steady_clock::now(); }
  bool is_bodiless() const;
  bool deliverable() const;
  rt::Task<Status> feed(rt::Op& op);
  rt::Task<Status> wait(rt::Op& op, rt::SteadyTime since);
  std::chrono::milliseconds patience() const;
  std::optional<std::chrono::milliseconds> time_to_connect() const;
  Error stalled() const;
  Error header_too_large() const;
  void give_up_upload();
  void let_flow();
  void remove();

  std::shared_ptr<CurlMulti> multi_;
  std::shared_ptr<const ClientOptions> options_;
  Request request_;
  Route route_;
  Upload upload_;
  CURL* easy_;
  curl_slist* header_list_ = nullptr;
  curl_slist* resolve_list_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_text_{};

  rt::Event changed_;
  rt::Op* feeding_ = nullptr;  // the Op of a refill that a change ends
  rt::SteadyTime last_move_;
  bool added_ = false;
  bool connected_ = false;
  bool send_paused_ = false;
  bool recv_paused_ = false;

  int status_ = 0;
  Headers headers_;
  std::size_t header_bytes_ = 0;
  bool head_done_ = false;
  bool ended_ = false;
  std::optional<Error> failure_;

  ByteQueue window_;
  MutableBytes direct_;  // where a waiting reader wants its bytes
  std::size_t direct_filled_ = 0;
};

}  // namespace berth::http
