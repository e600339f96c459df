#include "http/server_connection.h"

#include <utility>

#include "base/log.h"
#include "rt/async.h"

namespace berth::http {
namespace {

// An unread rest of a body up to this size is read and thrown away to keep the connection; more is
// not worth it.
constexpr std::uint64_t kSkipAtMost = 256 * 1024;
// After an early answer the caller's bytes are taken for a while: closing at once would reset the
// connection and with it the answer that is still on its way (RFC 9112 section 9.6).
constexpr std::uint64_t kLingerBytes = 64 * 1024 * 1024;
constexpr std::chrono::milliseconds kLingerTime{2'000};

int status_of(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 400;
    case Code::kNotAllowed:
      return 405;
    case Code::kTooLarge:
      return 431;
    case Code::kUnsupported:
      return 501;
    default:
      return 400;
  }
}

// A Service that failed has no answer of its own.
int status_of_failure(Code code) {
  switch (code) {
    case Code::kTimeout:
      return 504;
    case Code::kUnavailable:
      return 502;
    default:
      return 500;
  }
}

Response text_reply(int status, std::string_view text) {
  return reply(status, "text/plain; charset=utf-8", std::string(text) + "\n");
}

Status check_response(const Response& response) {
  if (response.status < 200 || response.status > 999) {
    return fail(Code::kInternal, "{} is not a status of an answer", response.status);
  }
  return check_headers(response.headers);
}

bool asks_for_continue(const Head& head) {
  const auto expect = head.headers.get("Expect");
  return expect && head.version == HttpVersion::k11 && iequals(*expect, "100-continue");
}

}  // namespace

// A request's body as the Service sees it. It ends with its exchange: later reads fail.
class Connection::BodyReader : public Reader {
 public:
  explicit BodyReader(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)), number_(connection_->exchange_number_) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (connection_->exchange_ && connection_->exchange_number_ == number_) {
      co_return co_await connection_->read_body(op, into);
    }
    co_return fail(Code::kUnavailable, "the request that this body belongs to is over");
  }

 private:
  std::shared_ptr<Connection> connection_;
  std::uint64_t number_;
};

Connection::Connection(rt::Loop& loop, Service& service, const ServerLimits& limits, UniqueFd fd,
                       Arrival arrival)
    : limits_(limits),
      service_(service),
      arrival_(std::move(arrival)),
      stream_(loop, std::move(fd)),
      incoming_(stream_, Role::kRequests, limits.head_bytes) {}

rt::Task<Status> Connection::serve(rt::Op& op, std::shared_ptr<Connection> self, TlsContext tls) {
  const Status served = co_await self->run(op, std::move(tls));
  // A caller that broke off is its own affair.
  if (!served)
    log::debug("connection from {} ended: {}", self->arrival_.peer, served.error().message());
  self->stream_.close();
  co_return Status();
}

rt::Task<Status> Connection::run(rt::Op& op, TlsContext tls) {
  if (tls) {
    arrival_.secure = true;
    CO_TRY_OK(co_await stream_.accept_tls(op, std::move(tls), from_now(limits_.head)));
  }
  while (!finishing_) {
    CO_TRY(const After after, co_await serve_one(op));
    if (after == After::kClose) break;
  }
  if (!stream_.is_open()) co_return Status();
  stream_.shutdown_send();
  if (!incoming_.body_ended()) co_await linger(op);
  co_return Status();
}

void Connection::finish() {
  finishing_ = true;
  if (idle_op_) idle_op_->cancel();
}

rt::Task<Result<Connection::After>> Connection::serve_one(rt::Op& op) {
  rt::Op idle(op);
  idle_op_ = &idle;
  const auto first_until = from_now(exchange_number_ == 0 ? limits_.head : limits_.idle);
  auto head = co_await incoming_.head(idle, first_until, limits_.head);
  idle_op_ = nullptr;
  if (!head) co_return co_await refuse(op, head.error());
  if (!*head) co_return After::kClose;
  const bool keep_alive = (*head)->keep_alive;
  rt::Op request_op(op);
  Exchange exchange{.op = request_op,
                    .version = (*head)->version,
                    .wants_continue = asks_for_continue(**head) && !incoming_.body_ended(),
                    .is_head = (*head)->method == "HEAD"};
  auto request = request_of(std::move(**head), arrival_);
  if (!request) co_return co_await refuse(op, request.error());
  exchange_ = &exchange;
  ++exchange_number_;
  receiving_ = Pace(limits_.least_rate, limits_.slow);
  stream_.send_at(Pace(limits_.least_rate, limits_.slow));
  auto after = co_await answer(exchange, std::move(*request), keep_alive);
  exchange_ = nullptr;
  co_return after;
}

// Answers what is no proper request. What follows it on the connection cannot be trusted, so it is
// the last.
rt::Task<Result<Connection::After>> Connection::refuse(rt::Op& op, const Error& error) {
  const bool quiet = error.code() == Code::kCancelled || error.code() == Code::kUnavailable ||
                     (error.code() == Code::kTimeout && !incoming_.got_any_byte());
  if (quiet) co_return After::kClose;
  const int status = error.code() == Code::kTimeout ? 408 : status_of(error.code());
  Exchange exchange{.op = op};
  (void)co_await send(exchange, text_reply(status, error.message()), false);
  co_await linger(op);
  co_return After::kClose;
}

rt::Task<Result<Connection::After>> Connection::answer(Exchange& exchange, Request request,
                                                       bool keep_alive) {
  if (incoming_.body_ended()) {
    watch();
  } else {
    const auto length = incoming_.body_left();
    request.body = Body(std::make_unique<BodyReader>(shared_from_this()), length);
  }
  Result<Response> response = co_await service_.handle(exchange.op, std::move(request));
  if (exchange.op.cancelled()) co_return After::kClose;
  if (!response) {
    log::info("a request failed: {}", printable(response.error().message()));
    response = text_reply(status_of_failure(response.error().code()), response.error().message());
  }
  if (response->status == kRawAnswer) {
    (void)co_await stream_.write(
        exchange.op, as_bytes(std::get<std::string>(response->body.content)), limits_.write_stall);
    co_return After::kClose;
  }
  const Status clean = check_response(*response);
  if (!clean) {
    log::error("an answer was withheld: {}", clean.error().message());
    response = text_reply(500, "the answer could not be sent");
  }
  co_return co_await send(exchange, std::move(*response), keep_alive);
}

rt::Task<Result<Connection::After>> Connection::send(Exchange& exchange, Response response,
                                                     bool keep_alive) {
  const BodyFraming framing = framing_of(response.body, exchange.version);
  const auto left = incoming_.body_left();
  const bool skippable = left && *left <= kSkipAtMost && !(exchange.wants_continue && *left > 0);
  const bool keep =
      keep_alive && !finishing_ && skippable && framing.kind != BodyFraming::Kind::kUntilClose;
  std::string connection = keep ? "" : "close";
  if (keep && exchange.version == HttpVersion::k10) connection = "keep-alive";
  const bool no_body = exchange.is_head || response.status == 204 || response.status == 304;
  if (no_body) {
    CO_TRY_OK(co_await send_head_only(exchange, response, connection));
  } else {
    std::string head = response_head(response, framing, connection, exchange.version);
    CO_TRY_OK(co_await send_message(exchange.op, stream_, std::move(head), response.body, framing,
                                    limits_.write_stall));
  }
  if (!keep) co_return After::kClose;
  CO_TRY(const bool skipped, co_await rest_of_body_skipped(exchange.op));
  co_return skipped ? After::kKeep : After::kClose;
}

// HEAD says the length that GET would send: the handler's own Content-Length where it gave one,
// else the body's.
rt::Task<Status> Connection::send_head_only(Exchange& exchange, const Response& response,
                                            const std::string& connection) {
  BodyFraming framing;
  if (exchange.is_head && response.status != 204) {
    framing = framing_of(response.body, exchange.version);
    const auto said = response.headers.get("Content-Length");
    const auto length = said ? parse_u64(*said) : std::nullopt;
    if (length) framing = {.kind = BodyFraming::Kind::kLength, .length = *length};
  }
  const std::string head = response_head(response, framing, connection, exchange.version);
  co_return co_await stream_.write(exchange.op, as_bytes(head), limits_.write_stall);
}

rt::Task<Result<bool>> Connection::rest_of_body_skipped(rt::Op& op) {
  std::vector<std::byte> piece;
  while (!incoming_.body_ended()) {
    piece.resize(16 * 1024);
    CO_TRY(const std::size_t n, co_await take_body(op, piece));
    if (n == 0 && !incoming_.body_ended()) co_return false;
  }
  co_return true;
}

rt::Task<void> Connection::linger(rt::Op& op) {
  stream_.shutdown_send();
  rt::Op lingering(op, from_now(kLingerTime));
  std::vector<std::byte> piece(64 * 1024);
  std::uint64_t taken = 0;
  while (taken < kLingerBytes) {
    const auto n = co_await stream_.read(lingering, piece, kNever);
    if (!n || *n == 0) break;
    taken += *n;
  }
}

rt::Task<Result<std::size_t>> Connection::read_body(rt::Op& op, MutableBytes into) {
  if (exchange_->wants_continue && !incoming_.has_buffered()) {
    CO_TRY_OK(
        co_await stream_.write(op, as_bytes("HTTP/1.1 100 Continue\r\n\r\n"), limits_.write_stall));
  }
  exchange_->wants_continue = false;
  auto n = co_await take_body(op, into);
  if (n && incoming_.body_ended()) watch();
  co_return n;
}

rt::Task<Result<std::size_t>> Connection::take_body(rt::Op& op, MutableBytes into) {
  const auto began = std::chrono::steady_clock::now();
  auto n = co_await incoming_.body(op, into, receiving_.allows(limits_.body_stall));
  receiving_.waited(std::chrono::steady_clock::now() - began);
  if (n) receiving_.moved(*n);
  co_return n;
}

// While a request is worked on and all of it is here, a readable socket means that the caller sent
// its next request or left.
void Connection::watch() {
  if (watching_ || incoming_.has_buffered() || !stream_.is_open()) return;
  watching_ = true;
  stream_.when_readable([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->look_for_close();
  });
}

void Connection::look_for_close() {
  watching_ = false;
  if (!exchange_ || !incoming_.body_ended()) return;
  const Peek found = stream_.peek();
  if (found == Peek::kNothing) watch();
  if (found == Peek::kClosed) exchange_->op.cancel(Error(Code::kCancelled, "the caller went away"));
}

}  // namespace berth::http
