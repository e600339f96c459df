// The last lines of all engines, kept for `berth logs` and followed by it. Loop thread.
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

class EngineLog {
 public:
  static constexpr std::size_t kMaxLines = 2000;
  static constexpr std::size_t kMaxBytes = 512 * 1024;
  using OnLine = std::function<void(const std::string& line)>;

  // Lines are made printable. `engine` names the model.
  void add(std::string_view engine, std::string_view line);
  std::vector<std::string> lines() const;  // "[name] text", oldest first

  // Calls `on_line` for every new line until the returned handle goes.
  [[nodiscard]] std::shared_ptr<void> follow(OnLine on_line);

 private:
  std::deque<std::string> kept_;
  std::size_t bytes_ = 0;
  std::list<std::weak_ptr<OnLine>> followers_;
};

}  // namespace berth::runner
