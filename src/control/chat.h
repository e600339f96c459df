// A chat in OpenAI's words: the body to send, and the events that come back, as stats and text.
// Pure; the transport is the caller's: an engine's socket in `local`, a server in `client`.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "control/records.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::control {

// The body of POST /v1/chat/completions, streamed, with usage. kInvalid for a schema that is no
// JSON object.
Result<std::string> chat_body(const ChatRequest& request);

// What an engine or server says went wrong: OpenAI's error object, or its text; printable.
std::string chat_error_text(std::string_view body);

// Takes the data of one event after the other. `stats` and `sink` outlive it.
class ChatFollower {
 public:
  using Clock = std::chrono::steady_clock;
  // `start`: when a ready engine was asked.
  ChatFollower(ChatStats& stats, ChatSink& sink, Clock::time_point start)
      : stats_(stats), sink_(sink), start_(start) {}

  // False after the last event. kUnavailable for an error event, kInvalid for what is no event.
  Result<bool> take(std::string_view data);
  // Completes the stats; kUnavailable when the answer broke off before its end.
  Status end();

 private:
  Status take_choice(const json::View& choice);
  void note_first_token();

  ChatStats& stats_;
  ChatSink& sink_;
  Clock::time_point start_;
  bool seen_token_ = false;
};

// Takes events from a stream until the answer is whole. `Events` has what http::SseStream has: a
// next(op) that gives an event with `data`, or nothing at the end. Both outlive the call.
template <class Events>
rt::Task<Status> follow_chat(rt::Op& op, Events& events, ChatFollower& follower) {
  while (true) {
    CO_TRY(const auto event, co_await events.next(op));
    if (!event) break;
    CO_TRY(const bool more, follower.take(event->data));
    if (!more) break;
  }
  co_return follower.end();
}

}  // namespace berth::control
