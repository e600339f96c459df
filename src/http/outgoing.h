// The outgoing half of an HTTP/1.1 connection: heads as text, bodies in their three shapes. Private
// to http.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "http/incoming.h"
#include "http/message.h"
#include "http/stream.h"

namespace berth::http {

// How a body's end is told to the peer.
struct BodyFraming {
  enum class Kind { kNone, kLength, kChunked, kUntilClose } kind = Kind::kNone;
  std::uint64_t length = 0;
};
BodyFraming framing_of(const Body& body, HttpVersion version);

// Field names must be tokens and values free of control characters, or a value could end the header
// and begin another (response splitting). kInvalid names the field.
Status check_headers(const Headers& headers);
bool is_token(std::string_view text);

// "POST /x HTTP/1.1\r\n…\r\n\r\n". Framing and connection headers are ours, not the message's.
std::string request_head(const Request& request, const BodyFraming& framing);
// `connection` is "", "close" or "keep-alive".
std::string response_head(const Response& response, const BodyFraming& framing,
                          std::string_view connection, HttpVersion version);
std::string_view reason_of(int status);

// Sends `head` and then the body. A Reader is sent as it comes, each read at once.
rt::Task<Status> send_message(rt::Op& op, Stream& stream, std::string head, Body& body,
                              BodyFraming framing, std::chrono::milliseconds stall);

}  // namespace berth::http
