#include "http/incoming.h"

#include <algorithm>
#include <cstring>

#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>

namespace berth::http {
namespace beast = boost::beast::http;
namespace {

constexpr std::size_t kFirstBuffer = 8 * 1024;
constexpr int kHeadsAtMost = 20;  // interim ones (1xx) before the final one
constexpr std::size_t kBodyBuffer = 64 * 1024;

}  // namespace

// One message in Beast's parser. The two roles differ in their type only.
struct Incoming::Parser {
  virtual ~Parser() = default;
  // Consumes a part of `bytes`; need_more is no error here.
  virtual Result<std::size_t> put(Bytes bytes) = 0;
  virtual bool head_done() const = 0;
  virtual bool done() const = 0;
  virtual Head take_head() = 0;
  virtual bool chunked() const = 0;
  virtual std::optional<std::uint64_t> length() const = 0;
  virtual bool until_close() const = 0;
  // Where the bytes of a chunked body go; returns what is left of `into` after put().
  virtual void give(MutableBytes into) = 0;
  virtual std::size_t not_filled() const = 0;
  virtual void go_on_to_body() = 0;

  static std::unique_ptr<Parser> make(Role role, std::size_t head_bytes);
};

namespace {

Error parse_error(boost::system::error_code error, std::size_t head_bytes) {
  if (error == beast::error::header_limit) {
    return Error(Code::kTooLarge,
                 fmt::format("the header is larger than {}", format_size(head_bytes)));
  }
  return Error(Code::kInvalid, fmt::format("what came is not valid HTTP/1.1: {}", error.message()));
}

void fill_start_line(const beast::request_header<>& from, Head& head) {
  head.method = from.method_string();
  head.target = from.target();
}
void fill_start_line(const beast::response_header<>& from, Head& head) {
  head.status = from.result_int();
}

template <bool kIsRequest>
struct BeastParser : Incoming::Parser {
  explicit BeastParser(std::size_t limit) : head_bytes(limit) {
    parser.header_limit(static_cast<std::uint32_t>(limit));
    parser.body_limit(boost::none);
  }

  Result<std::size_t> put(Bytes bytes) override {
    boost::system::error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    if (error && error != beast::error::need_more && error != beast::error::need_buffer) {
      return std::unexpected(parse_error(error, head_bytes));
    }
    return used;
  }
  bool head_done() const override { return parser.is_header_done(); }
  bool done() const override { return parser.is_done(); }
  bool chunked() const override { return parser.chunked(); }
  bool until_close() const override { return !kIsRequest && parser.need_eof(); }
  std::optional<std::uint64_t> length() const override {
    const auto length = parser.content_length();
    return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
  }
  Head take_head() override {
    Head head;
    fill_start_line(parser.get(), head);
    head.version = parser.get().version() == 11 ? HttpVersion::k11 : HttpVersion::k10;
    head.keep_alive = parser.keep_alive();
    for (const auto& field : parser.get()) head.headers.add(field.name_string(), field.value());
    return head;
  }
  void give(MutableBytes into) override {
    parser.get().body().data = into.data();
    parser.get().body().size = into.size();
  }
  std::size_t not_filled() const override { return parser.get().body().size; }
  void go_on_to_body() override { parser.eager(true); }

  std::size_t head_bytes;
  beast::parser<kIsRequest, beast::buffer_body> parser;
};

// Anything but a lone "chunked" is read differently by different servers (request smuggling).
Status check_framing(const Head& head) {
  const std::size_t lengths = head.headers.get_all("Content-Length").size();
  const auto codings = head.headers.get_all("Transfer-Encoding");
  if (lengths > 1) return fail(Code::kInvalid, "there is more than one Content-Length header");
  if (codings.empty()) return {};
  if (codings.size() > 1 || !iequals(trim(codings.front()), "chunked")) {
    return fail(Code::kInvalid, "the Transfer-Encoding is not a lone \"chunked\"");
  }
  if (lengths > 0)
    return fail(Code::kInvalid, "there is a Content-Length beside Transfer-Encoding");
  if (head.version == HttpVersion::k10) {
    return fail(Code::kInvalid, "HTTP/1.0 has no Transfer-Encoding");
  }
  return {};
}

bool status_has_no_body(int status) { return status == 204 || status == 304 || status / 100 == 1; }

}  // namespace

std::unique_ptr<Incoming::Parser> Incoming::Parser::make(Role role, std::size_t head_bytes) {
  if (role == Role::kRequests) return std::make_unique<BeastParser<true>>(head_bytes);
  return std::make_unique<BeastParser<false>>(head_bytes);
}

Incoming::Incoming(Stream& stream, Role role, std::size_t head_bytes)
    : stream_(stream), role_(role), head_bytes_(head_bytes), buffer_(kFirstBuffer) {}
Incoming::~Incoming() = default;

// Reads more behind what is buffered. The parser keeps a head's unfinished line here, so the buffer
// grows up to the head's bound.
rt::Task<Result<std::size_t>> Incoming::fill(rt::Op& op, rt::SteadyTime until) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    if (buffer_.size() > head_bytes_ + kBodyBuffer) {
      co_return fail(Code::kTooLarge, "the header is larger than {}", format_size(head_bytes_));
    }
    buffer_.resize(buffer_.size() * 2);
  }
  CO_TRY(const std::size_t n,
         co_await stream_.read(op, MutableBytes(buffer_).subspan(end_), until));
  end_ += n;
  if (n > 0) got_any_byte_ = true;
  co_return n;
}

rt::Task<Result<Head>> Incoming::parse_head(rt::Op& op, rt::SteadyTime until) {
  while (true) {
    CO_TRY(const std::size_t used, parser_->put(buffered()));
    begin_ += used;
    if (parser_->head_done()) break;
    CO_TRY(const std::size_t n, co_await fill(op, until));
    if (n == 0) co_return fail(Code::kUnavailable, "the connection was closed inside a header");
  }
  Head head = parser_->take_head();
  CO_TRY_OK(check_framing(head));
  co_return head;
}

rt::Task<Result<std::optional<Head>>> Incoming::head(rt::Op& op, rt::SteadyTime first_until,
                                                     std::chrono::milliseconds head_time) {
  framing_ = Framing::kNone;
  expect_next();
  if (!has_buffered()) {
    CO_TRY(const std::size_t n, co_await fill(op, first_until));
    if (n == 0) co_return std::nullopt;
  }
  const rt::SteadyTime until = from_now(head_time);
  Head head;
  int heads = 0;
  do {
    if (++heads > kHeadsAtMost)
      co_return fail(Code::kInvalid, "there is no end of interim answers");
    parser_ = Parser::make(role_, head_bytes_);
    CO_TRY(head, co_await parse_head(op, until));
  } while (head.status / 100 == 1 && head.status != 101);
  left_ = parser_->length().value_or(0);
  if (status_has_no_body(head.status)) {
    framing_ = Framing::kNone;
  } else if (parser_->chunked()) {
    framing_ = Framing::kChunked;
    parser_->go_on_to_body();
  } else if (parser_->length()) {
    framing_ = left_ > 0 ? Framing::kLength : Framing::kNone;
  } else {
    framing_ = parser_->until_close() ? Framing::kUntilClose : Framing::kNone;
  }
  co_return head;
}

std::optional<std::uint64_t> Incoming::body_left() const {
  if (framing_ == Framing::kNone) return 0;
  return framing_ == Framing::kLength ? std::optional(left_) : std::nullopt;
}

std::size_t Incoming::take_buffered(MutableBytes into) {
  const std::size_t n = std::min(into.size(), end_ - begin_);
  std::memcpy(into.data(), buffer_.data() + begin_, n);
  begin_ += n;
  return n;
}

rt::Task<Result<std::size_t>> Incoming::counted_body(rt::Op& op, MutableBytes into,
                                                     rt::SteadyTime until) {
  if (framing_ == Framing::kLength) into = into.first(std::min<std::uint64_t>(into.size(), left_));
  std::size_t n = take_buffered(into);
  if (n == 0) {
    CO_TRY(n, co_await stream_.read(op, into, until));
  }
  if (framing_ == Framing::kUntilClose) {
    if (n == 0) framing_ = Framing::kNone;
    co_return n;
  }
  if (n == 0) {
    co_return fail(Code::kUnavailable, "the connection was closed with {} of a body still to come",
                   format_size(left_));
  }
  left_ -= n;
  if (left_ == 0) framing_ = Framing::kNone;
  co_return n;
}

// One limit for all that it takes to get a byte of the body: the frames of chunks may be dripped.
rt::Task<Result<std::size_t>> Incoming::chunked_body(rt::Op& op, MutableBytes into,
                                                     rt::SteadyTime until) {
  if (buffer_.size() < kBodyBuffer) buffer_.resize(kBodyBuffer);
  parser_->give(into);
  while (true) {
    CO_TRY(const std::size_t used, parser_->put(buffered()));
    begin_ += used;
    const std::size_t n = into.size() - parser_->not_filled();
    if (parser_->done()) framing_ = Framing::kNone;
    if (n > 0 || parser_->done()) co_return n;
    CO_TRY(const std::size_t more, co_await fill(op, until));
    if (more == 0)
      co_return fail(Code::kUnavailable, "the connection was closed inside a chunked body");
  }
}

rt::Task<Result<std::size_t>> Incoming::body(rt::Op& op, MutableBytes into,
                                             std::chrono::milliseconds stall) {
  if (framing_ == Framing::kNone || into.empty()) co_return 0;
  if (framing_ == Framing::kChunked) co_return co_await chunked_body(op, into, from_now(stall));
  co_return co_await counted_body(op, into, from_now(stall));
}

}  // namespace berth::http
