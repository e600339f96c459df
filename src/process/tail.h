// What a child printed last: the end of its output, bounded, and its lines as they come.
//
// Loop thread (or any one thread). Lines are cut at kMaxLine bytes so that a child without newlines
// cannot grow the buffer; they are handed on raw: printable() is for whoever shows them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace berth::process {

class Tail {
 public:
  static constexpr std::size_t kDefaultLimit = 64 * 1024;
  explicit Tail(std::size_t limit = kDefaultLimit) : limit_(limit) {}

  void append(std::string_view bytes);
  // The last bytes, at most the limit, beginning at a line when something was dropped.
  std::string text() const;
  // The last `count` non-empty lines, joined by "\n".
  std::string last_lines(std::size_t count) const;
  std::uint64_t total() const { return total_; }  // bytes ever appended

 private:
  std::size_t limit_;
  std::string kept_;  // at most twice the limit, cut back to it when full
  std::uint64_t total_ = 0;
};

class LineSplitter {
 public:
  static constexpr std::size_t kMaxLine = 8 * 1024;
  using OnLine = std::function<void(std::string_view line)>;  // without its "\n" or "\r\n"
  explicit LineSplitter(OnLine on_line) : on_line_(std::move(on_line)) {}

  void feed(std::string_view bytes);
  void finish();  // hands on an unfinished last line

 private:
  void emit();
  OnLine on_line_;
  std::string line_;
};

}  // namespace berth::process
