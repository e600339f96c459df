#include "api/relay.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "api/errors.h"
#include "api/json_scan.h"
#include "base/log.h"
#include "http/sse.h"

namespace berth::api {
namespace {

constexpr std::size_t kMaxEvent = 8 * 1024 * 1024;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class EventRelay : public rt::Reader {
 public:
  EventRelay(Ledger& ledger, std::unique_ptr<Engine> engine, Exchange exchange,
             std::unique_ptr<rt::Reader> body, std::string first)
      : ledger_(ledger),
        engine_(std::move(engine)),
        exchange_(std::move(exchange)),
        quoted_model_(json_quoted(exchange_.model)),
        body_(std::move(body)) {
    take(first);
  }
  ~EventRelay() override {
    if (!ended_) end("the caller went away");
  }

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    while (out_.empty() && !ended_) CO_TRY_OK(co_await fill(op));
    const std::size_t count = std::min(into.size(), out_.size() - sent_);
    std::memcpy(into.data(), out_.data() + sent_, count);
    sent_ += count;
    if (sent_ == out_.size()) {
      out_.clear();
      sent_ = 0;
    }
    co_return count;
  }

 private:
  // Reads once from the engine.
  rt::Task<Status> fill(rt::Op& op) {
    const auto count = co_await body_->read(op, chunk_);
    if (count && *count > 0) {
      take(as_text(Bytes(chunk_).first(*count)));
      co_return Status();
    }
    emit(held_.size());
    if (count) {
      end("");
      co_return Status();
    }
    CO_TRY_OK(op.check());  // the caller's own end needs no event
    break_off(count.error());
    co_return Status();
  }

  // The stream has begun, so the only place left for an error is the stream itself.
  void break_off(const Error& error) {
    const std::string death = engine_->death();
    const Error shown(Code::kUnavailable,
                      death.empty() ? "the answer was cut: " + error.message() : death);
    log::warning("{}: {}", printable(exchange_.model, 200), shown.message());
    const bool anthropic = exchange_.errors == ErrorForm::kAnthropic;
    out_ += http::sse_event(json::serialize(error_object(shown, exchange_.errors)),
                            anthropic ? "error" : "");
    end(shown.message());
  }

  void take(std::string_view bytes) {
    held_ += bytes;
    const std::size_t boundary = held_.rfind("\n\n");
    if (boundary != std::string::npos) {
      emit(boundary + 2);
    } else if (held_.size() > kMaxEvent) {
      emit(held_.size());  // whatever this is, it is passed on as it came
    }
  }

  // Sends the first `size` bytes that are held: whole events.
  void emit(std::size_t size) {
    std::size_t at = 0;
    bool whole = false;
    while (at < size) {
      const std::size_t boundary = held_.find("\n\n", at);
      const std::size_t end = boundary == std::string::npos ? size : std::min(boundary + 2, size);
      // The usual case is one event, whole.
      whole = at == 0 && end == held_.size();
      emit_event(whole ? std::move(held_) : held_.substr(at, end - at));
      at = end;
    }
    if (whole) {
      held_.clear();
    } else {
      held_.erase(0, size);
    }
  }

  void emit_event(std::string event) {
    replace_model(event, quoted_model_);
    if (event.find("_tokens\":") != std::string::npos ||
        event.find("\"timings\":") != std::string::npos)
      last_ = event;
    if (ledger_.recording() && exchange_.record.response.size() < Recorder::kMaxBody) {
      exchange_.record.response += event;
    }
    if (out_.empty()) {
      out_ = std::move(event);
    } else {
      out_ += event;
    }
  }

  void end(std::string error) {
    ended_ = true;
    ledger_.ended(engine_->info(), exchange_, last_);
    exchange_.record.status = 200;
    exchange_.record.error = std::move(error);
    ledger_.record(engine_->info().model, std::move(exchange_.record));
  }

  Ledger& ledger_;
  std::unique_ptr<Engine> engine_;  // before body_: it goes after it
  Exchange exchange_;
  std::string quoted_model_;
  std::unique_ptr<rt::Reader> body_;
  // Here and not in fill(): a coroutine's frame is allocated for each event.
  std::array<std::byte, 16 * 1024> chunk_;
  std::string held_;  // the event that is not whole yet
  std::string out_;
  std::size_t sent_ = 0;
  std::string last_;  // the last event that tells of tokens
  bool ended_ = false;
};

}  // namespace

void Ledger::loaded(const EngineInfo& engine) {
  if (engine.was_loaded) return;
  metrics_.observe_seconds("berth_model_load_seconds", "Time until a model was ready.",
                           {{"model", engine.model}},
                           std::chrono::duration<double>(engine.load_time).count());
}

void Ledger::first_byte(const EngineInfo& engine, const Exchange& exchange) {
  metrics_.observe_seconds("berth_first_byte_seconds",
                           "Time from asking a ready engine to the first byte of its answer.",
                           {{"model", engine.model}}, seconds_since(exchange.start));
}

void Ledger::ended(const EngineInfo& engine, const Exchange& exchange, std::string_view last) {
  metrics_.observe_seconds("berth_answer_seconds",
                           "Time from asking a ready engine to the end of its answer.",
                           {{"model", engine.model}}, seconds_since(exchange.start));
  const struct {
    const char* kind;
    std::array<std::string_view, 3> keys;  // OpenAI's, Anthropic's, llama-server's
  } kinds[] = {{"prompt", {"prompt_tokens", "input_tokens", "prompt_n"}},
               {"completion", {"completion_tokens", "output_tokens", "predicted_n"}}};
  for (const auto& [kind, keys] : kinds) {
    for (const std::string_view key : keys) {
      const auto count = last_number(last, key);
      if (!count) continue;
      metrics_.count("berth_tokens", "Tokens read and written by engines.",
                     {{"model", engine.model}, {"kind", kind}}, static_cast<double>(*count));
      break;
    }
  }
}

std::unique_ptr<rt::Reader> relay_events(Ledger& ledger, std::unique_ptr<Engine> engine,
                                         Exchange exchange, std::unique_ptr<rt::Reader> body,
                                         std::string first) {
  return std::make_unique<EventRelay>(ledger, std::move(engine), std::move(exchange),
                                      std::move(body), std::move(first));
}

}  // namespace berth::api
