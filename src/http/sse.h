// Server-sent events: an incremental, bounded parser and a writer. Pure, any thread, but for
// SseStream. Source: WHATWG HTML section 9.2.6.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace berth::http {

struct SseEvent {
  std::string event;  // "" when none was named
  std::string data;   // lines joined by "\n"
  std::string id;     // of this event only; "" when none
};

class SseParser {
 public:
  explicit SseParser(std::size_t limit = 4 * 1024 * 1024) : limit_(limit) {}

  // Takes the next bytes of the stream, split anywhere. kTooLarge when an event or a line is longer
  // than the limit.
  Status feed(std::string_view bytes);
  // The next whole event, in order.
  std::optional<SseEvent> next();

 private:
  Status end_line();
  void dispatch();

  std::size_t limit_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;
  std::deque<SseEvent> ready_;
};

// One event as it goes on the wire: "event: …\ndata: …\n\n"; line breaks in `data` become several
// data lines, in `event` they are dropped.
std::string sse_event(std::string_view data, std::string_view event = "");

// Pulls events out of a response's body.
class SseStream {
 public:
  explicit SseStream(Body body, std::size_t limit = 4 * 1024 * 1024);
  // nullopt at the clean end of the stream. An unfinished last event is dropped, as the standard
  // says.
  rt::Task<Result<std::optional<SseEvent>>> next(rt::Op& op);

 private:
  Body body_;
  SseParser parser_;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace berth::http
