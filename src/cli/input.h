// What a command reads: standard input, a password, the lines of a chat.
//
// Loop thread; waits happen on the blocking pool and end with kCancelled when the Op is cancelled.
// Tests give their own.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/secret.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/reader.h"
#include "rt/task.h"

namespace berth::cli {

struct Line {
  enum class Kind { kText, kInterrupted, kEnd } kind = Kind::kText;
  std::string text;
};

// Lines of an interactive chat, with editing and history.
struct LineSource {
  virtual ~LineSource() = default;
  virtual rt::Task<Result<Line>> read(rt::Op& op, std::string prompt) = 0;
  // Ends a read() that waits now with kInterrupted (Ctrl-C at the prompt).
  virtual void interrupt() = 0;
  virtual void remember(const std::string& entry) = 0;
};

struct Input {
  virtual ~Input() = default;
  virtual bool terminal() const = 0;
  // Something is piped or redirected into the program (not a terminal, not /dev/null).
  virtual bool piped() const = 0;
  // All of standard input; kTooLarge over `limit`.
  virtual rt::Task<Result<std::string>> read_all(rt::Loop& loop, rt::Op& op, std::size_t limit) = 0;
  // One line without its end; nullopt at the end of the input.
  virtual rt::Task<Result<std::optional<std::string>>> read_line(rt::Loop& loop, rt::Op& op) = 0;
  // One line from the terminal, without echo.
  virtual rt::Task<Result<Secret>> read_secret(rt::Loop& loop, rt::Op& op) = 0;
  virtual std::unique_ptr<rt::Reader> reader(rt::Loop& loop) = 0;
  // `history_dir` "": nothing is kept.
  virtual std::unique_ptr<LineSource> lines(rt::Loop& loop, std::string history_dir) = 0;
};

// The process's standard input.
std::unique_ptr<Input> standard_input();

// A wait on a descriptor that another thread can end: poll() on it and on an eventfd.
class Waiter {
 public:
  Waiter();
  ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  enum class Woke { kReadable, kInterrupted };
  Woke wait(int fd);  // blocking: on the pool
  void interrupt();   // from any thread; the next or present wait() ends
  void clear();       // forgets interrupts that came before

 private:
  int event_;
};

}  // namespace berth::cli
