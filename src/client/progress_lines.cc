#include "client/progress_lines.h"

#include <array>
#include <optional>

#include "base/text.h"

namespace berth::client {
namespace {

constexpr std::size_t kMaxLine = 64 * 1024;
using Kind = control::Event::Kind;

std::string unescape_html(std::string text) {
  constexpr std::pair<std::string_view, char> kNames[] = {{"&#34;", '"'},  {"&quot;", '"'},
                                                          {"&#39;", '\''}, {"&lt;", '<'},
                                                          {"&gt;", '>'},   {"&amp;", '&'}};
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    bool replaced = false;
    if (text[i] == '&') {
      for (const auto& [name, character] : kNames) {
        if (text.compare(i, name.size(), name) != 0) continue;
        out.push_back(character);
        i += name.size();
        replaced = true;
        break;
      }
    }
    if (!replaced) out.push_back(text[i++]);
  }
  return out;
}

class Lines {
 public:
  explicit Lines(http::Body body) : body_(std::move(body)) {
    if (auto* text = std::get_if<std::string>(&body_.content)) held_ = std::move(*text);
  }

  rt::Task<Result<std::optional<std::string>>> next(rt::Op& op) {
    while (true) {
      const std::size_t end = held_.find('\n');
      if (end != std::string::npos) {
        std::string line = held_.substr(0, end);
        held_.erase(0, end + 1);
        co_return line;
      }
      if (held_.size() > kMaxLine)
        co_return fail(Code::kTooLarge, "the server sent a progress line of more than 64 KiB");
      CO_TRY(const bool more, co_await fill(op));
      if (more) continue;
      if (held_.empty()) co_return std::nullopt;
      co_return std::exchange(held_, {});
    }
  }

 private:
  rt::Task<Result<bool>> fill(rt::Op& op) {
    auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&body_.content);
    if (!reader || !*reader) co_return false;
    std::array<std::byte, 8192> chunk;
    CO_TRY(const std::size_t count, co_await (*reader)->read(op, chunk));
    held_ += as_text(Bytes(chunk).first(count));
    co_return count > 0;
  }

  http::Body body_;
  std::string held_;
};

class Follower {
 public:
  explicit Follower(control::Events& events) : events_(events) {}

  // The success line when this is it; nullopt for others.
  Result<std::optional<json::Value>> take(const std::string& line) {
    const std::string text = unescape_html_if_needed(std::string(trim(line)));
    if (text.empty()) return std::nullopt;
    auto value = json::parse(text, "progress line");
    if (!value || !value->is_object()) {
      if (rest_.size() < kMaxLine) rest_ += text + " ";
      return std::nullopt;
    }
    return take(std::move(*value));
  }

  Error no_success() const {
    if (!seen_ && !rest_.empty()) return {Code::kUnavailable, printable(trim(rest_), 2000)};
    return {Code::kUnavailable, "the server stopped in the middle and did not say how it ended"};
  }

 private:
  static std::string unescape_html_if_needed(std::string text) {
    return text.starts_with("{&#34;") || text.starts_with("{&quot;")
               ? unescape_html(std::move(text))
               : text;
  }

  Result<std::optional<json::Value>> take(json::Value value) {
    const json::View view(value, "progress line");
    TRY(const std::string type, view.string_or("type", ""));
    TRY(const std::string message, view.string_or("message", ""));
    seen_ = true;
    if (type == "success") return std::optional(std::move(value));
    if (type == "error") {
      TRY(const std::string code, view.string_or("code", ""));
      return std::unexpected(
          Error(code_from_string(code).value_or(Code::kUnavailable), printable(message, 4000)));
    }
    if (type == "warning")
      events_.on({.kind = Kind::kWarning, .message = printable(message, 4000)});
    if (type == "progress") TRY_OK(layer(view));
    return std::nullopt;
  }

  Status layer(const json::View& view) {
    TRY(const std::uint64_t total, view.u64_or("total", 0));
    if (total != total_) events_.on({.kind = Kind::kTotal, .size = total});
    total_ = total;
    const auto layer = view.find("layer");
    if (!layer) return {};
    control::Event event{.kind = Kind::kLayer};
    TRY(event.layer, layer->string_or("id", ""));
    TRY(event.size, layer->u64_or("size", 0));
    TRY(event.current, layer->u64_or("current", 0));
    event.layer = printable(event.layer, 200);
    if (event.size > 0 && event.current >= event.size) event.kind = Kind::kLayerDone;
    if (!event.layer.empty()) events_.on(event);
    return {};
  }

  control::Events& events_;
  std::uint64_t total_ = 0;
  bool seen_ = false;
  std::string rest_;
};

}  // namespace

rt::Task<Result<json::Value>> read_progress(rt::Op& op, http::Body body, control::Events& events) {
  Lines lines(std::move(body));
  Follower follower(events);
  while (true) {
    CO_TRY(const auto line, co_await lines.next(op));
    if (!line) co_return std::unexpected(follower.no_success());
    CO_TRY(auto success, follower.take(*line));
    if (success) co_return std::move(*success);
  }
}

}  // namespace berth::client
