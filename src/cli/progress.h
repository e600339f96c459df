// What a transfer looks like while it goes: bars on a terminal, a line now and then elsewhere, or
// JSON lines.
//
// TransferState and the render functions are pure (the time is given). Progress draws them on
// standard error. Loop thread.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "rt/async.h"

namespace berth::cli {

enum class ProgressMode { kBars, kPlain, kJson, kNone };
// From --progress, --quiet and what standard error is.
ProgressMode progress_mode(std::string_view word, const Output& output);
Flag progress_flag(std::string& word);

// The arithmetic of a transfer, fed by events.
class TransferState {
 public:
  enum class Condition { kMoving, kDone, kExists, kMounted };
  struct Layer {
    std::string digest;
    std::string name;
    std::uint64_t current = 0;
    std::uint64_t start = 0;  // what was there before (a resumed transfer)
    std::uint64_t size = 0;
    Condition condition = Condition::kMoving;
  };

  void on(const control::Event& event, rt::SteadyTime now);
  const std::vector<Layer>& layers() const { return layers_; }
  std::uint64_t current() const;
  std::uint64_t total() const;
  // Bytes a second over the last seconds; nullopt before anything can be said.
  std::optional<double> rate(rt::SteadyTime now) const;
  std::optional<std::chrono::seconds> eta(rt::SteadyTime now) const;

 private:
  Layer& layer(const control::Event& event);
  std::uint64_t moved() const;
  struct Sample {
    rt::SteadyTime at;
    std::uint64_t moved;
  };
  std::vector<Layer> layers_;
  std::uint64_t announced_ = 0;
  std::deque<Sample> samples_;
};

// One line a layer and one for the total, each at most `width` columns.
std::vector<std::string> render_bars(const TransferState& state, rt::SteadyTime now,
                                     unsigned width);
// "Downloaded 45.2 MB of 91.7 MB (49 %, 12.1 MB/s, 4 s left)"
std::string render_line(const TransferState& state, rt::SteadyTime now, std::string_view verb);

// The events of one operation, drawn. finish() must be awaited before it goes.
class Progress : public control::Events {
 public:
  Progress(Context& context, std::string verb, ProgressMode mode);
  void on(const control::Event& event) override;
  rt::Task<void> finish();

 private:
  void draw(rt::SteadyTime now);
  void erase();
  void plain(const control::Event& event, rt::SteadyTime now);
  void say(const std::string& line);
  static rt::Task<Status> tick(rt::Op& op, Progress& progress);

  Output& output_;
  std::string verb_;
  ProgressMode mode_;
  TransferState state_;
  rt::Op ticking_;
  rt::Scope scope_;
  std::size_t drawn_ = 0;
  rt::SteadyTime last_{};
};

}  // namespace berth::cli
