// One connection of a Server: requests one after the other until either side has enough. Private to
// http.
#pragma once

#include <memory>
#include <optional>

#include "http/incoming.h"
#include "http/outgoing.h"
#include "http/pace.h"
#include "http/request_head.h"
#include "http/server.h"
#include "http/stream.h"

namespace berth::http {

// For Imposter only: a Response of this status is sent as the bytes of its body and nothing else.
inline constexpr int kRawAnswer = -1;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(rt::Loop& loop, Service& service, const ServerLimits& limits, UniqueFd fd,
             Arrival arrival);

  // Serves until the connection ends. `self` keeps it alive meanwhile; a body's Reader may do so
  // longer.
  static rt::Task<Status> serve(rt::Op& op, std::shared_ptr<Connection> self, TlsContext tls);

  // Ends it after the request in flight, or now when there is none.
  void finish();

 private:
  class BodyReader;
  // A request being answered.
  struct Exchange {
    rt::Op& op;
    HttpVersion version = HttpVersion::k11;
    bool wants_continue = false;
    bool is_head = false;
  };
  enum class After { kKeep, kClose };

  rt::Task<Status> run(rt::Op& op, TlsContext tls);
  rt::Task<Result<After>> serve_one(rt::Op& op);
  rt::Task<Result<After>> refuse(rt::Op& op, const Error& error);
  rt::Task<Result<After>> answer(Exchange& exchange, Request request, bool keep_alive);
  rt::Task<Result<After>> send(Exchange& exchange, Response response, bool keep_alive);
  rt::Task<Status> send_head_only(Exchange& exchange, const Response& response,
                                  const std::string& connection);
  rt::Task<Result<bool>> rest_of_body_skipped(rt::Op& op);
  rt::Task<void> linger(rt::Op& op);
  rt::Task<Result<std::size_t>> read_body(rt::Op& op, MutableBytes into);
  // Part of the body, at the pace that a caller has to keep.
  rt::Task<Result<std::size_t>> take_body(rt::Op& op, MutableBytes into);
  void watch();
  void look_for_close();

  const ServerLimits& limits_;
  Service& service_;
  Arrival arrival_;
  Stream stream_;
  Incoming incoming_;
  Pace receiving_;  // of the present body
  Exchange* exchange_ = nullptr;
  rt::Op* idle_op_ = nullptr;
  std::uint64_t exchange_number_ = 0;
  bool watching_ = false;
  bool finishing_ = false;
};

}  // namespace berth::http
