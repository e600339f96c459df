#include "cli/progress.h"

#include <algorithm>

#include "base/text.h"
#include "cli/names.h"
#include "cli/table.h"
#include "control/json.h"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = control::Event::Kind;
using Condition = TransferState::Condition;

constexpr auto kWindow = seconds(5);  // over which a rate is measured
constexpr auto kSampleEvery = milliseconds(100);
constexpr auto kRedraw = milliseconds(100);
constexpr auto kPlainEvery = seconds(1);
constexpr std::size_t kShownLayers = 16;  // a model of many files must not scroll the terminal
constexpr std::size_t kMaxLayers = 4096;

std::string cut(const std::string& line, unsigned width) {
  if (columns(line) < width) return line;
  std::string out;
  std::size_t used = 0;
  for (const char c : line) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && ++used >= width) break;
    out.push_back(c);
  }
  return out;
}

std::string bar(std::uint64_t current, std::uint64_t total, std::size_t width) {
  const double part =
      total == 0 ? 1.0 : std::min(1.0, static_cast<double>(current) / static_cast<double>(total));
  const auto full = static_cast<std::size_t>(part * static_cast<double>(width));
  std::string text = "[" + std::string(full, '=');
  if (full < width) text += ">" + std::string(width - full - 1, ' ');
  return text + "]";
}

std::string condition_text(const TransferState::Layer& layer, std::size_t width) {
  switch (layer.condition) {
    case Condition::kDone:
      return fmt::format("done  {}", format_size(layer.size));
    case Condition::kExists:
      return "already there";
    case Condition::kMounted:
      return "taken over within the registry";
    case Condition::kMoving:
      break;
  }
  return fmt::format("{} {} / {}", bar(layer.current, layer.size, width),
                     format_size(layer.current), format_size(layer.size));
}

std::string label(const TransferState::Layer& layer) {
  return layer.name.empty() ? short_id(layer.digest) : printable(layer.name, 24);
}

std::string speed(const TransferState& state, rt::SteadyTime now) {
  std::string text;
  if (const auto rate = state.rate(now))
    text = fmt::format("{}/s", format_size(static_cast<std::uint64_t>(*rate)));
  if (const auto eta = state.eta(now)) text += fmt::format(", {} left", format_duration(*eta));
  return text;
}

}  // namespace

ProgressMode progress_mode(std::string_view word, const Output& output) {
  if (word == "none" || output.quiet) return ProgressMode::kNone;
  if (word == "json") return ProgressMode::kJson;
  if (word == "plain" || !output.err.terminal()) return ProgressMode::kPlain;
  return ProgressMode::kBars;
}

Flag progress_flag(std::string& word) {
  return {.name = "progress",
          .value = "HOW",
          .help = "How to show progress",
          .target = &word,
          .choices = {"auto", "plain", "json", "none"}};
}

TransferState::Layer& TransferState::layer(const control::Event& event) {
  const auto found = std::ranges::find(layers_, event.layer, &Layer::digest);
  if (found != layers_.end()) return *found;
  if (layers_.size() == kMaxLayers) layers_.pop_back();
  layers_.push_back({event.layer, event.name, event.current, event.current, event.size});
  return layers_.back();
}

void TransferState::on(const control::Event& event, rt::SteadyTime now) {
  switch (event.kind) {
    case Kind::kMessage:
    case Kind::kWarning:
      return;
    case Kind::kTotal:
      announced_ = event.size;
      return;
    case Kind::kLayer: {
      Layer& known = layer(event);
      known.current = event.current;
      known.size = std::max(event.size, event.current);
      break;
    }
    case Kind::kLayerDone: {
      Layer& known = layer(event);
      known.size = std::max(known.size, event.size);
      known.current = known.size;
      known.condition = Condition::kDone;
      break;
    }
    case Kind::kLayerExists:
      layer(event).condition = Condition::kExists;
      return;
    case Kind::kLayerMounted:
      layer(event).condition = Condition::kMounted;
      return;
  }
  if (samples_.empty() || now - samples_.back().at >= kSampleEvery)
    samples_.push_back({now, moved()});
  while (samples_.size() > 2 && now - samples_[1].at > kWindow) samples_.pop_front();
}

std::uint64_t TransferState::moved() const {
  std::uint64_t sum = 0;
  for (const Layer& one : layers_) sum += one.current - std::min(one.start, one.current);
  return sum;
}

std::uint64_t TransferState::current() const {
  std::uint64_t sum = 0;
  for (const Layer& one : layers_) {
    if (one.condition == Condition::kMoving || one.condition == Condition::kDone)
      sum += one.current;
  }
  return sum;
}

std::uint64_t TransferState::total() const {
  std::uint64_t sum = 0;
  for (const Layer& one : layers_) {
    if (one.condition == Condition::kMoving || one.condition == Condition::kDone) sum += one.size;
  }
  return std::max(sum, announced_);
}

std::optional<double> TransferState::rate(rt::SteadyTime now) const {
  if (samples_.empty()) return std::nullopt;
  const std::chrono::duration<double> span = now - samples_.front().at;
  const std::uint64_t bytes = moved() - std::min(moved(), samples_.front().moved);
  if (span.count() < 0.2 || bytes == 0) return std::nullopt;
  return static_cast<double>(bytes) / span.count();
}

std::optional<seconds> TransferState::eta(rt::SteadyTime now) const {
  const auto speed_now = rate(now);
  const std::uint64_t left = total() - std::min(total(), current());
  if (!speed_now || left == 0) return std::nullopt;
  const double wait = static_cast<double>(left) / *speed_now;
  if (wait > 360000) return std::nullopt;
  return seconds(static_cast<std::int64_t>(wait) + 1);
}

std::vector<std::string> render_bars(const TransferState& state, rt::SteadyTime now,
                                     unsigned width) {
  const std::size_t bar_width = std::clamp<std::size_t>(width / 3, 10, 40);
  std::vector<std::string> lines;
  std::size_t label_width = 5;
  for (const auto& layer : state.layers())
    label_width = std::max(label_width, columns(label(layer)));
  const auto line = [&](const std::string& name, const std::string& text) {
    lines.push_back(
        cut(name + std::string(label_width - std::min(label_width, columns(name)) + 2, ' ') + text,
            width));
  };
  // The ones that move are what people wait for; then the finished ones, as room allows.
  std::vector<const TransferState::Layer*> shown;
  for (const auto& layer : state.layers()) {
    if (layer.condition == Condition::kMoving || state.layers().size() <= kShownLayers)
      shown.push_back(&layer);
  }
  if (shown.size() > kShownLayers) shown.resize(kShownLayers);
  for (const auto* layer : shown) line(label(*layer), condition_text(*layer, bar_width));
  line("Total",
       fmt::format("{} {} / {}  {}", bar(state.current(), state.total(), bar_width),
                   format_size(state.current()), format_size(state.total()), speed(state, now)));
  return lines;
}

std::string render_line(const TransferState& state, rt::SteadyTime now, std::string_view verb) {
  const std::uint64_t total = state.total();
  const std::uint64_t percent =
      total == 0 ? 100
                 : static_cast<std::uint64_t>(100.0 * static_cast<double>(state.current()) /
                                              static_cast<double>(total));
  const std::string rate = speed(state, now);
  return fmt::format("{} {} of {} ({} %{}{})", verb, format_size(state.current()),
                     format_size(total), percent, rate.empty() ? "" : ", ", rate);
}

Progress::Progress(Context& context, std::string verb, ProgressMode mode)
    : output_(context.output),
      verb_(std::move(verb)),
      mode_(mode),
      ticking_(context.op),
      scope_(context.loop) {
  // Whoever reads JSON lines reads nothing else there.
  if (mode_ == ProgressMode::kJson) output_.quiet = true;
  if (mode_ == ProgressMode::kBars) scope_.spawn(tick(ticking_, *this));
}

// Keeps rate and remaining time true also when nothing arrives.
rt::Task<Status> Progress::tick(rt::Op& op, Progress& progress) {
  while (true) {
    if (!co_await rt::sleep_for(op, milliseconds(500))) co_return Status();
    if (progress.drawn_ > 0) progress.draw(std::chrono::steady_clock::now());
  }
}

void Progress::on(const control::Event& event) {
  const auto now = std::chrono::steady_clock::now();
  if (mode_ == ProgressMode::kJson) {
    output_.err.write(json::serialize(control::to_json(event)) + "\n");
    output_.err.flush();
    return;
  }
  state_.on(event, now);
  if (event.kind == Kind::kWarning) say("warning: " + printable(event.message, 2048));
  if (event.kind == Kind::kMessage && mode_ != ProgressMode::kNone)
    say(printable(event.message, 2048));
  if (mode_ == ProgressMode::kPlain) plain(event, now);
  if (mode_ == ProgressMode::kBars && !state_.layers().empty() && now - last_ >= kRedraw) draw(now);
}

void Progress::say(const std::string& line) {
  erase();
  output_.err.write(line + "\n");
  output_.err.flush();
}

// One line an event that people care about; the bytes at most once a second.
void Progress::plain(const control::Event& event, rt::SteadyTime now) {
  const std::string id = event.name.empty() ? short_id(event.layer) : printable(event.name, 64);
  switch (event.kind) {
    case Kind::kLayerDone:
      say(fmt::format("{}: done", id));
      return;
    case Kind::kLayerExists:
      say(fmt::format("{}: already there", id));
      return;
    case Kind::kLayerMounted:
      say(fmt::format("{}: taken over within the registry", id));
      return;
    case Kind::kLayer:
      if (now - last_ < kPlainEvery) return;
      last_ = now;
      say(render_line(state_, now, verb_));
      return;
    default:
      return;
  }
}

void Progress::erase() {
  if (drawn_ == 0) return;
  output_.err.write(fmt::format("\x1b[{}A\x1b[J", drawn_));
  drawn_ = 0;
}

void Progress::draw(rt::SteadyTime now) {
  erase();
  const auto lines = render_bars(state_, now, output_.err.width());
  for (const std::string& line : lines) output_.err.write(line + "\n");
  output_.err.flush();
  drawn_ = lines.size();
  last_ = now;
}

rt::Task<void> Progress::finish() {
  ticking_.cancel();
  [[maybe_unused]] const Status ended = co_await scope_.join();
  if (mode_ == ProgressMode::kBars && drawn_ > 0) draw(std::chrono::steady_clock::now());
}

}  // namespace berth::cli
