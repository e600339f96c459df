#include "http/connection.h"

#include <deque>
#include <functional>
#include <optional>

#include "http/incoming.h"
#include "http/outgoing.h"
#include "http/socket_address.h"
#include "rt/async.h"

namespace berth::http {
namespace {

// A body up to this size fits into the socket's buffer or nearly so: it is written before the
// answer is looked for. Larger ones are sent beside it, because an answer may come early.
constexpr std::size_t kSmallBody = 64 * 1024;

struct Link {
  Link(rt::Loop& loop, UniqueFd fd, std::size_t head_bytes)
      : stream(loop, std::move(fd)), incoming(stream, Role::kResponses, head_bytes) {}

  bool usable() { return !incoming.has_buffered() && stream.peek() == Peek::kNothing; }

  Stream stream;
  Incoming incoming;
  bool reused = false;
};

// A link with its answer's head, body to come.
struct Answered {
  std::unique_ptr<Link> link;
  Head head;
};

bool is_stream(const Body& body) {
  return std::holds_alternative<std::unique_ptr<Reader>>(body.content);
}

bool is_small(const Body& body) {
  const auto* text = std::get_if<std::string>(&body.content);
  return text && text->size() <= kSmallBody;
}

// How an upload went that was sent beside the wait for the answer.
struct Upload {
  std::optional<Error> failure;
  std::optional<Error>
      source_failure;  // of the Reader: whatever the peer says to a cut body, this is why
  bool ended = false;
};

// Hands a Reader's bytes on and keeps its failure apart from the connection's.
class SourceReader : public Reader {
 public:
  SourceReader(std::unique_ptr<Reader> source, Upload& upload)
      : source_(std::move(source)), upload_(upload) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    auto n = co_await source_->read(op, into);
    if (!n && !op.cancelled()) upload_.source_failure = n.error();
    co_return n;
  }

 private:
  std::unique_ptr<Reader> source_;
  Upload& upload_;
};

rt::Task<Status> upload(rt::Op& op, Link& link, Request& request, BodyFraming framing,
                        Upload& result) {
  const Status sent = co_await send_message(op, link.stream, request_head(request, framing),
                                            request.body, framing, kNoLimit);
  result.ended = sent.has_value();
  if (sent) co_return Status();
  result.failure = sent.error();
  link.stream
      .shutdown_send();  // the peer learns that no more comes; an early answer can still be read
  co_return Status();
}

Error no_answer(const Endpoint& endpoint) {
  return Error(Code::kUnavailable,
               fmt::format("{} closed the connection without an answer", to_string(endpoint)));
}

}  // namespace

struct DirectClient::Pool : std::enable_shared_from_this<DirectClient::Pool> {
  Pool(rt::Loop& its_loop, Endpoint its_endpoint, DirectLimits its_limits)
      : loop(its_loop), endpoint(std::move(its_endpoint)), limits(its_limits) {}

  rt::Task<Result<std::unique_ptr<Link>>> connect(rt::Op& op);
  std::unique_ptr<Link> take_idle();
  void give_back(std::unique_ptr<Link> link);
  rt::Task<Result<Head>> exchange(rt::Op& op, Link& link, Request& request);
  rt::Task<Result<Head>> send_then_read(rt::Op& op, Link& link, Request& request,
                                        BodyFraming framing);
  rt::Task<Result<Head>> send_and_read(rt::Op& op, Link& link, Request& request,
                                       BodyFraming framing);
  rt::Task<Result<Head>> read_head(rt::Op& op, Link& link);
  rt::Task<Result<Answered>> attempt(rt::Op& op, std::unique_ptr<Link> link, Request& request);
  Response response_of(Answered answered, bool to_head_request);

  rt::Loop& loop;
  Endpoint endpoint;
  DirectLimits limits;
  std::deque<std::unique_ptr<Link>> idle;
};

namespace {

// The body of an answer. The link goes back to the pool with its last byte and dies with an early
// end.
class LinkReader : public Reader {
 public:
  using GiveBack = std::function<void(std::unique_ptr<Link>)>;
  LinkReader(std::unique_ptr<Link> link, GiveBack give_back)
      : link_(std::move(link)), give_back_(std::move(give_back)) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (failure_) co_return std::unexpected(*failure_);
    if (!link_) co_return 0;
    auto n = co_await link_->incoming.body(op, into, kNoLimit);
    if (!n) {
      failure_ = n.error();
      link_.reset();
    } else if (link_->incoming.body_ended()) {
      give_back_(std::move(link_));
    }
    co_return n;
  }

 private:
  std::unique_ptr<Link> link_;
  GiveBack give_back_;
  std::optional<Error> failure_;
};

}  // namespace

rt::Task<Result<std::unique_ptr<Link>>> DirectClient::Pool::connect(rt::Op& op) {
  CO_TRY(const SocketAddress address, socket_address(endpoint));
  CO_TRY(UniqueFd fd, stream_socket(address));
  auto link = std::make_unique<Link>(loop, std::move(fd), limits.header_bytes);
  Status connected = co_await link->stream.connect(op, address, from_now(limits.connect));
  if (!connected) {
    co_return std::unexpected(
        std::move(connected.error())
            .with_context(fmt::format("cannot connect to {}", to_string(endpoint))));
  }
  co_return link;
}

std::unique_ptr<Link> DirectClient::Pool::take_idle() {
  while (!idle.empty()) {
    std::unique_ptr<Link> link = std::move(idle.back());  // the warmest
    idle.pop_back();
    if (link->usable()) return link;
  }
  return nullptr;
}

void DirectClient::Pool::give_back(std::unique_ptr<Link> link) {
  if (!link->stream.is_open() || idle.size() >= limits.idle_connections) return;
  link->reused = true;
  idle.push_back(std::move(link));
}

rt::Task<Result<Head>> DirectClient::Pool::read_head(rt::Op& op, Link& link) {
  CO_TRY(std::optional<Head> head, co_await link.incoming.head(op, kNever, kNoLimit));
  if (!head) co_return std::unexpected(no_answer(endpoint));
  co_return std::move(*head);
}

rt::Task<Result<Head>> DirectClient::Pool::send_then_read(rt::Op& op, Link& link, Request& request,
                                                          BodyFraming framing) {
  CO_TRY_OK(co_await send_message(op, link.stream, request_head(request, framing), request.body,
                                  framing, kNoLimit));
  co_return co_await read_head(op, link);
}

rt::Task<Result<Head>> DirectClient::Pool::send_and_read(rt::Op& op, Link& link, Request& request,
                                                         BodyFraming framing) {
  rt::Op upload_op(op);
  Upload result;
  if (auto* reader = std::get_if<std::unique_ptr<Reader>>(&request.body.content);
      reader && *reader) {
    *reader = std::make_unique<SourceReader>(std::move(*reader), result);
  }
  rt::Scope scope(loop);
  scope.spawn(upload(upload_op, link, request, framing, result));
  Result<Head> head = co_await read_head(op, link);
  if (!head || head->status >= 300) upload_op.cancel();
  (void)co_await scope.join();
  if (result.source_failure) co_return std::unexpected(*result.source_failure);
  if (!head && result.failure && !op.cancelled() && result.failure->code() != Code::kCancelled) {
    co_return std::unexpected(*result.failure);
  }
  if (head && !result.ended) head->keep_alive = false;
  co_return head;
}

rt::Task<Result<Head>> DirectClient::Pool::exchange(rt::Op& op, Link& link, Request& request) {
  const BodyFraming framing = framing_of(request.body, HttpVersion::k11);
  link.incoming.expect_next();
  if (is_small(request.body)) co_return co_await send_then_read(op, link, request, framing);
  co_return co_await send_and_read(op, link, request, framing);
}

rt::Task<Result<Answered>> DirectClient::Pool::attempt(rt::Op& op, std::unique_ptr<Link> link,
                                                       Request& request) {
  const bool may_retry = link->reused && !is_stream(request.body);
  Result<Head> head = co_await exchange(op, *link, request);
  if (!head && may_retry && !link->incoming.got_any_byte() &&
      head.error().code() == Code::kUnavailable) {
    CO_TRY(link, co_await connect(op));
    head = co_await exchange(op, *link, request);
  }
  if (!head) co_return std::unexpected(head.error());
  co_return Answered{.link = std::move(link), .head = std::move(*head)};
}

Response DirectClient::Pool::response_of(Answered answered, bool to_head_request) {
  auto& [link, head] = answered;
  if (to_head_request) link->incoming.without_body();
  Response response{.status = head.status, .headers = std::move(head.headers), .body = {}};
  if (link->incoming.body_ended()) {
    if (head.keep_alive) give_back(std::move(link));
    return response;
  }
  const auto length = link->incoming.body_left();
  auto give = [pool = weak_from_this(), keep = head.keep_alive](std::unique_ptr<Link> used) {
    const auto alive = pool.lock();
    if (alive && keep) alive->give_back(std::move(used));
  };
  response.body = Body(std::make_unique<LinkReader>(std::move(link), std::move(give)), length);
  return response;
}

DirectClient::DirectClient(rt::Loop& loop, Endpoint endpoint, DirectLimits limits)
    : pool_(std::make_shared<Pool>(loop, std::move(endpoint), limits)) {}
DirectClient::~DirectClient() = default;

void DirectClient::close_idle() { pool_->idle.clear(); }

rt::Task<Result<Response>> DirectClient::handle(rt::Op& op, Request request) {
  const std::shared_ptr<Pool> pool = pool_;
  CO_TRY_OK(check_headers(request.headers));
  if (!is_token(request.method)) co_return fail(Code::kInvalid, "the method is not one of HTTP");
  // A body that can be read only once must not meet a connection that is about to close.
  std::unique_ptr<Link> link = is_stream(request.body) ? nullptr : pool->take_idle();
  if (!link) {
    CO_TRY(link, co_await pool->connect(op));
  }
  CO_TRY(Answered answered, co_await pool->attempt(op, std::move(link), request));
  co_return pool->response_of(std::move(answered), request.method == "HEAD");
}

}  // namespace berth::http
