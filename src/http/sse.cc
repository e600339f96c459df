#include "http/sse.h"

#include <utility>

namespace berth::http {
namespace {

constexpr std::size_t kPiece = 16 * 1024;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Status SseParser::feed(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    if (std::exchange(after_cr_, false) && bytes[at] == '\n') {
      ++at;
      continue;
    }
    const std::size_t end = bytes.find_first_of("\r\n", at);
    const std::size_t stop = end == std::string_view::npos ? bytes.size() : end;
    if (line_.size() + (stop - at) > limit_) {
      return fail(Code::kTooLarge, "an event of the stream is larger than {}", format_size(limit_));
    }
    line_.append(bytes, at, stop - at);
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    TRY_OK(end_line());
    at = end + 1;
  }
  return {};
}

Status SseParser::end_line() {
  std::string line = std::exchange(line_, "");
  if (std::exchange(at_start_, false) && line.starts_with(kByteOrderMark))
    line.erase(0, kByteOrderMark.size());
  if (line.empty()) {
    dispatch();
    return {};
  }
  const std::size_t colon = line.find(':');
  const std::string_view name = std::string_view(line).substr(0, colon);
  std::string_view value =
      colon == std::string::npos ? "" : std::string_view(line).substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    // With the line's end: empty lines add up as well.
    if (event_.data.size() + value.size() + (has_data_ ? 1 : 0) > limit_) {
      return fail(Code::kTooLarge, "an event of the stream is larger than {}", format_size(limit_));
    }
    if (has_data_) event_.data.push_back('\n');
    event_.data.append(value);
    has_data_ = true;
  } else if (name == "event") {
    event_.event = value;
  } else if (name == "id" && value.find('\0') == std::string_view::npos) {
    event_.id = value;
  }
  return {};
}

void SseParser::dispatch() {
  if (has_data_) ready_.push_back(std::move(event_));
  event_ = {};
  has_data_ = false;
}

std::optional<SseEvent> SseParser::next() {
  if (ready_.empty()) return std::nullopt;
  SseEvent event = std::move(ready_.front());
  ready_.pop_front();
  return event;
}

std::string sse_event(std::string_view data, std::string_view event) {
  std::string text;
  if (!event.empty()) {
    text = "event: ";
    for (const char c : event) {
      if (c != '\r' && c != '\n') text.push_back(c);
    }
    text.push_back('\n');
  }
  while (true) {
    const std::size_t end = data.find_first_of("\r\n");
    text.append("data: ").append(data.substr(0, end)).push_back('\n');
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + (data.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return text.append("\n");
}

SseStream::SseStream(Body body, std::size_t limit) : body_(std::move(body)), parser_(limit) {}

rt::Task<Result<std::optional<SseEvent>>> SseStream::next(rt::Op& op) {
  if (auto* text = std::get_if<std::string>(&body_.content); text && !std::exchange(ended_, true)) {
    CO_TRY_OK(parser_.feed(*text));
  }
  while (true) {
    if (auto event = parser_.next()) co_return event;
    if (ended_) co_return std::nullopt;
    auto* reader = std::get_if<std::unique_ptr<Reader>>(&body_.content);
    if (!reader || !*reader) co_return std::nullopt;
    buffer_.resize(kPiece);
    CO_TRY(const std::size_t n,
           co_await (*reader)->read(op, std::as_writable_bytes(std::span(buffer_))));
    ended_ = n == 0;
    CO_TRY_OK(parser_.feed(std::string_view(buffer_).substr(0, n)));
  }
}

}  // namespace berth::http
