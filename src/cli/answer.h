// One answer of a model, streamed to the screen: the text on standard output, thoughts and status
// on standard error.
#pragma once

#include <string>

#include "cli/command.h"

namespace berth::cli {

class AnswerSink : public control::ChatSink {
 public:
  // Cancels `op` when nobody reads standard output any more.
  AnswerSink(Output& output, rt::Op& op) : output_(output), op_(op) {}
  void on_content(std::string_view text) override;
  void on_reasoning(std::string_view text) override;
  void on_status(std::string_view line) override;
  // The line's end after the last piece.
  void finish();
  const std::string& text() const { return text_; }

 private:
  void end_thoughts();
  Output& output_;
  rt::Op& op_;
  TerminalFilter filter_;
  TerminalFilter thoughts_filter_;
  std::string text_;
  bool thinking_ = false;
};

struct Answer {
  std::string text;
  control::ChatStats stats;
};
rt::Task<Result<Answer>> ask(Context& context, rt::Op& op, control::ChatRequest request);

void print_stats(Output& output, const control::ChatStats& stats);

}  // namespace berth::cli
