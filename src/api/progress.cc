#include "api/progress.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace berth::api {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = control::Event::Kind;

constexpr std::chrono::milliseconds kEvery{100};
constexpr std::size_t kMaxPending = 256 * 1024;
constexpr std::size_t kMaxMessage = 8 * 1024;  // Docker's client takes 64 KiB a line

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

class ProgressRun::Lines : public rt::Reader {
 public:
  explicit Lines(std::shared_ptr<ProgressRun> run) : run_(std::move(run)) {}
  ~Lines() override {
    if (!run_->ended_) run_->op_.cancel(Error(Code::kCancelled, "the caller went away"));
  }

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    while (run_->pending_.empty() && !run_->ended_) CO_TRY_OK(co_await run_->news_.wait(op));
    const std::size_t count = std::min(into.size(), run_->pending_.size());
    std::memcpy(into.data(), run_->pending_.data(), count);
    run_->pending_.erase(0, count);
    co_return count;
  }

 private:
  std::shared_ptr<ProgressRun> run_;
};

ProgressRun::ProgressRun(rt::Loop& loop, rt::Op& parent, std::string mode, Escape escape)
    : op_(parent), news_(loop), mode_(std::move(mode)), escape_(escape) {}

void ProgressRun::on(const control::Event& event) {
  switch (event.kind) {
    case Kind::kTotal:
      total_ = event.size;
      break;
    case Kind::kLayer:
      layer(event, event.size > 0 && event.current >= event.size);
      break;
    case Kind::kLayerDone:
      layer(event, true);
      break;
    case Kind::kWarning:
      put({{"type", "warning"}, {"message", printable(event.message, kMaxMessage)}});
      break;
    default:  // a layer that is already there emits nothing, as with Docker Model Runner
      break;
  }
}

void ProgressRun::layer(const control::Event& event, bool done) {
  const auto now = Clock::now();
  auto& last = last_[event.layer];
  if (!done && now - last < kEvery) return;
  if (!done && pending_.size() > kMaxPending) return;
  last = done ? Clock::time_point::max() - kEvery : now;  // a layer is done once
  const std::uint64_t current = event.kind == Kind::kLayerDone ? event.size : event.current;
  const std::string_view verb = mode_ == "push" ? "Uploaded" : "Downloaded";
  put({{"type", "progress"},
       {"message", fmt::format("{}: {}", verb, format_size(current))},
       {"total", std::max(total_, event.size)},
       {"layer", {{"id", event.layer}, {"size", event.size}, {"current", current}}},
       {"mode", mode_}});
}

void ProgressRun::put(const json::Object& line) {
  const std::string text = json::serialize(line);
  pending_ += escape_ == Escape::kHtml ? escape_html(text) : text;
  pending_.push_back('\n');
  any_line_ = true;
  news_.notify_all();
}

void ProgressRun::succeed(std::string message, json::Object result) {
  ended_ = true;
  put({{"type", "success"},
       {"message", std::move(message)},
       {"mode", mode_},
       {"result", std::move(result)}});
}

void ProgressRun::fail_with(Error error) {
  ended_ = true;
  if (any_line_) {
    put({{"type", "error"},
         {"message", printable(error.message(), kMaxMessage)},
         {"mode", mode_},
         {"code", to_string(error.code())}});
  }
  failure_ = std::move(error);
  news_.notify_all();
}

rt::Task<Status> ProgressRun::begun(rt::Op& op) {
  while (!any_line_ && !ended_) {
    const Status waited = co_await news_.wait(op);
    if (waited) continue;
    op_.cancel(waited.error());
    co_return waited;
  }
  if (failure_ && !any_line_) co_return std::unexpected(*failure_);
  co_return Status();
}

std::unique_ptr<rt::Reader> ProgressRun::lines(std::shared_ptr<ProgressRun> run) {
  return std::make_unique<Lines>(std::move(run));
}

}  // namespace berth::api
