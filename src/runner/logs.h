// The last lines of the server and of its engines, kept for `berth logs` and followed by it. Loop
// thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace berth::runner {

class LogBuffer {
 public:
  static constexpr std::size_t kMaxLines = 2000;
  static constexpr std::size_t kMaxBytes = 512 * 1024;
  enum class Which { kAll, kServer };  // kServer: without the engines' lines
  struct Follower {
    Which which = Which::kAll;
    std::function<void(const std::string& line)> on_line;
    std::function<void()> on_end;  // nothing more comes
  };

  // Lines are made printable. `model` names the engine.
  void add_engine(std::string_view model, std::string_view line);
  void add_server(std::string_view line);
  std::vector<std::string> lines(Which which) const;  // "[name] text", oldest first

  // Tells of every new line until the returned handle goes, or end().
  [[nodiscard]] std::shared_ptr<void> follow(Follower follower);
  // The server stops: those that follow wait for nothing more.
  void end();

 private:
  struct Line {
    Which from;  // kAll: an engine's, which only kAll shows
    std::string text;
  };
  void add(Line line);

  std::deque<Line> kept_;
  std::size_t bytes_ = 0;
  bool ended_ = false;
  std::list<std::weak_ptr<Follower>> followers_;
};

}  // namespace berth::runner
