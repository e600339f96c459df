#include "cli/input.h"

#include <cerrno>
#include <functional>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/line_editor.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

constexpr std::size_t kMaxLine = 64 * 1024;

// Switches the terminal's echo off for as long as it lives.
class Silence {
 public:
  explicit Silence(int fd) : fd_(fd), changed_(::tcgetattr(fd, &before_) == 0) {
    if (!changed_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL;
    ::tcsetattr(fd, TCSAFLUSH, &silent);
  }
  ~Silence() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  int fd_;
  termios before_{};
  bool changed_;
};

// One read() of standard input that ends early when interrupted.
Result<std::size_t> read_some(Waiter& waiter, MutableBytes into) {
  while (true) {
    if (waiter.wait(STDIN_FILENO) == Waiter::Woke::kInterrupted) {
      return fail(Code::kCancelled, "cancelled");
    }
    const ssize_t n = ::read(STDIN_FILENO, into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR && errno != EAGAIN) return fail_errno(errno, "cannot read standard input");
  }
}

Result<std::string> read_to_end(Waiter& waiter, std::size_t limit) {
  std::string text;
  std::array<std::byte, 16 * 1024> block;
  while (true) {
    TRY(const std::size_t n, read_some(waiter, block));
    if (n == 0) return text;
    if (text.size() + n > limit) {
      return fail(Code::kTooLarge, "standard input is larger than {} bytes; give less", limit);
    }
    text.append(as_text(std::span(block).first(n)));
  }
}

// Byte by byte, so that nothing after the line is taken from whoever reads next.
Result<std::optional<std::string>> read_one_line(Waiter& waiter) {
  std::string line;
  std::byte byte{};
  while (true) {
    TRY(const std::size_t n, read_some(waiter, std::span(&byte, 1)));
    if (n == 0 && line.empty()) return std::nullopt;
    if (n == 0 || byte == std::byte('\n')) break;
    if (line.size() == kMaxLine)
      return fail(Code::kTooLarge, "the line is longer than {} bytes", kMaxLine);
    line.push_back(static_cast<char>(byte));
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

Result<std::optional<std::string>> read_silent_line(Waiter& waiter) {
  const Silence silence(STDIN_FILENO);
  return read_one_line(waiter);
}

class StandardReader : public rt::Reader {
 public:
  StandardReader(rt::Loop& loop, Waiter& waiter) : loop_(loop), waiter_(waiter) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const auto stop = op.on_cancel(std::bind_front(&Waiter::interrupt, &waiter_));
    co_return co_await rt::blocking(loop_, std::bind_front(read_some, std::ref(waiter_), into));
  }

 private:
  rt::Loop& loop_;
  Waiter& waiter_;
};

class StandardInput : public Input {
 public:
  bool terminal() const override { return ::isatty(STDIN_FILENO) == 1; }
  bool piped() const override {
    struct stat info{};
    return ::fstat(STDIN_FILENO, &info) == 0 && !S_ISCHR(info.st_mode);
  }
  rt::Task<Result<std::string>> read_all(rt::Loop& loop, rt::Op& op, std::size_t limit) override {
    CO_TRY_OK(op.check());
    const auto stop = op.on_cancel(std::bind_front(&Waiter::interrupt, &waiter_));
    co_return co_await rt::blocking(loop, std::bind_front(read_to_end, std::ref(waiter_), limit));
  }
  rt::Task<Result<std::optional<std::string>>> read_line(rt::Loop& loop, rt::Op& op) override {
    CO_TRY_OK(op.check());
    const auto stop = op.on_cancel(std::bind_front(&Waiter::interrupt, &waiter_));
    co_return co_await rt::blocking(loop, std::bind_front(read_one_line, std::ref(waiter_)));
  }
  rt::Task<Result<Secret>> read_secret(rt::Loop& loop, rt::Op& op) override {
    CO_TRY_OK(op.check());
    const auto stop = op.on_cancel(std::bind_front(&Waiter::interrupt, &waiter_));
    CO_TRY(auto line,
           co_await rt::blocking(loop, std::bind_front(read_silent_line, std::ref(waiter_))));
    co_return Secret(line.value_or(""));
  }
  std::unique_ptr<rt::Reader> reader(rt::Loop& loop) override {
    return std::make_unique<StandardReader>(loop, waiter_);
  }
  std::unique_ptr<LineSource> lines(rt::Loop& loop, std::string history_dir) override {
    return make_line_editor(loop, std::move(history_dir));
  }

 private:
  Waiter waiter_;
};

}  // namespace

Waiter::Waiter() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
Waiter::~Waiter() { ::close(event_); }

Waiter::Woke Waiter::wait(int fd) {
  std::array<pollfd, 2> polled{{{fd, POLLIN, 0}, {event_, POLLIN, 0}}};
  while (::poll(polled.data(), polled.size(), -1) < 0 && errno == EINTR) {
  }
  return (polled[1].revents & POLLIN) != 0 ? Woke::kInterrupted : Woke::kReadable;
}

void Waiter::interrupt() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(event_, &one, sizeof one);
}

void Waiter::clear() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(event_, &count, sizeof count);
}

std::unique_ptr<Input> standard_input() { return std::make_unique<StandardInput>(); }

}  // namespace berth::cli
