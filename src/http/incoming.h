// The incoming half of an HTTP/1.1 connection: heads and bodies, one message after the other.
// Private to http.
//
// Loop thread. Heads and chunked bodies are parsed by Boost.Beast, fed by hand; a body of known
// length goes from the socket to the caller's buffer. Framing is strict (RFC 9112 section 6): what
// two parsers could read differently is refused. Failures: those of Stream, kInvalid (not HTTP),
// kTooLarge (head).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/message.h"
#include "http/stream.h"

namespace berth::http {

enum class Role { kRequests, kResponses };
enum class HttpVersion { k10, k11 };

struct Head {
  std::string method;  // of a request
  std::string target;
  int status = 0;  // of a response
  HttpVersion version = HttpVersion::k11;
  Headers headers;
  bool keep_alive = true;
};

class Incoming {
 public:
  struct Parser;  // Beast's, hidden: its headers are heavy

  Incoming(Stream& stream, Role role, std::size_t head_bytes);
  ~Incoming();

  // The next final head (100 and its like are passed over); nullopt when the peer closed before its
  // first byte. `first_until` bounds the wait for that byte, `head_time` the time from then to the
  // end of the head.
  rt::Task<Result<std::optional<Head>>> head(rt::Op& op, rt::SteadyTime first_until,
                                             std::chrono::milliseconds head_time);
  // The answer to HEAD says a length and has no body.
  void without_body() { framing_ = Framing::kNone; }

  // Part of the body of the last head; 0 at its end. kUnavailable when it is cut short.
  rt::Task<Result<std::size_t>> body(rt::Op& op, MutableBytes into,
                                     std::chrono::milliseconds stall);
  bool body_ended() const { return framing_ == Framing::kNone; }
  // What is left of a body of known length.
  std::optional<std::uint64_t> body_left() const;
  // Bytes are here that nobody asked for yet.
  bool has_buffered() const { return begin_ < end_; }
  // Whether the peer said anything since the last message ended, or since expect_next().
  bool got_any_byte() const { return got_any_byte_; }
  void expect_next() { got_any_byte_ = has_buffered(); }

 private:
  enum class Framing { kNone, kLength, kChunked, kUntilClose };

  rt::Task<Result<std::size_t>> fill(rt::Op& op, rt::SteadyTime until);
  rt::Task<Result<Head>> parse_head(rt::Op& op, rt::SteadyTime until);
  rt::Task<Result<std::size_t>> counted_body(rt::Op& op, MutableBytes into, rt::SteadyTime until);
  rt::Task<Result<std::size_t>> chunked_body(rt::Op& op, MutableBytes into, rt::SteadyTime until);
  std::size_t take_buffered(MutableBytes into);
  Bytes buffered() const { return Bytes(buffer_).subspan(begin_, end_ - begin_); }

  Stream& stream_;
  Role role_;
  std::size_t head_bytes_;
  std::unique_ptr<Parser> parser_;
  Framing framing_ = Framing::kNone;
  std::uint64_t left_ = 0;
  bool got_any_byte_ = false;  // of the message that is being read
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace berth::http
