#include "cli/answer.h"

#include "base/text.h"

namespace berth::cli {

void AnswerSink::on_content(std::string_view text) {
  if (text.empty()) return;
  end_thoughts();
  text_.append(text);
  output_.out.write(filter_(text));
  output_.out.flush();
  if (!output_.out.status()) op_.cancel();
}

void AnswerSink::on_reasoning(std::string_view text) {
  if (text.empty()) return;
  if (!std::exchange(thinking_, true))
    output_.err.write(output_.colour ? "\x1b[2mThinking:\n" : "Thinking:\n");
  output_.err.write(thoughts_filter_(text));
  output_.err.flush();
}

void AnswerSink::on_status(std::string_view line) { output_.note("{}", printable(line)); }

void AnswerSink::end_thoughts() {
  if (!std::exchange(thinking_, false)) return;
  output_.err.write(thoughts_filter_.finish() + (output_.colour ? "\x1b[0m\n\n" : "\n\n"));
  output_.err.flush();
}

void AnswerSink::finish() {
  end_thoughts();
  output_.out.write(filter_.finish());
  if (!text_.empty() && !text_.ends_with('\n')) output_.out.write("\n");
  output_.out.flush();
}

rt::Task<Result<Answer>> ask(Context& context, rt::Op& op, control::ChatRequest request) {
  AnswerSink sink(context.output, op);
  auto stats = co_await context.services->runs.chat(op, std::move(request), sink);
  sink.finish();
  CO_TRY(control::ChatStats done, std::move(stats));
  co_return Answer{sink.text(), std::move(done)};
}

void print_stats(Output& output, const control::ChatStats& stats) {
  const auto line = [&](std::string_view label, const std::string& value) {
    output.alert("{:<22}{}", label, value);
  };
  output.alert("");
  if (!stats.device.empty()) line("device:", printable(stats.device));
  line("load:", format_duration(stats.load));
  line("time to first token:", format_duration(stats.first_token));
  line("total:", format_duration(stats.total));
  line("prompt tokens:", fmt::to_string(stats.prompt_tokens));
  line("completion tokens:", fmt::to_string(stats.completion_tokens));
  line("speed:", fmt::format("{:.1f} tokens/s", stats.tokens_per_second));
  if (!stats.finish_reason.empty()) line("finish reason:", printable(stats.finish_reason));
}

}  // namespace berth::cli
