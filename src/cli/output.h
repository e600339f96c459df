// Where a command writes: data to standard output, everything for people (messages, progress,
// errors) to standard error.
//
// Loop thread. Text from outside is passed through printable() or TerminalFilter by whoever formats
// it. Tests give their own Writers.
#pragma once

#include <fmt/format.h>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::cli {

struct Writer {
  virtual ~Writer() = default;
  virtual void write(std::string_view text) = 0;
  virtual void flush() = 0;
  virtual bool terminal() const = 0;
  virtual unsigned width() const = 0;  // columns of the terminal
  // The first failure of a write; a reader that went away (EPIPE) is kCancelled.
  virtual Status status() const = 0;
};

// A buffered descriptor. Flushes itself when 32 KiB are waiting.
class FdWriter : public Writer {
 public:
  explicit FdWriter(int fd) : fd_(fd) {}
  ~FdWriter() override { FdWriter::flush(); }
  void write(std::string_view text) override;
  void flush() override;
  bool terminal() const override;
  unsigned width() const override;
  Status status() const override;

 private:
  int fd_;
  int error_ = 0;
  std::string pending_;
};

// Keeps what was written.
class StringWriter : public Writer {
 public:
  explicit StringWriter(bool terminal = false, unsigned width = 80)
      : terminal_(terminal), width_(width) {}
  void write(std::string_view more) override { text.append(more); }
  void flush() override {}
  bool terminal() const override { return terminal_; }
  unsigned width() const override { return width_; }
  Status status() const override { return {}; }

  std::string text;

 private:
  bool terminal_;
  unsigned width_;
};

struct Output {
  Writer& out;
  Writer& err;
  bool colour = false;  // on standard error
  bool quiet = false;   // no notes

  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    out.write(fmt::format(format, std::forward<Args>(args)...));
  }
  // One line for people; silent with --quiet.
  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    if (!quiet) alert(format, std::forward<Args>(args)...);
  }
  // The same, also with --quiet: warnings, prompts.
  template <class... Args>
  void alert(fmt::format_string<Args...> format, Args&&... args) {
    out.flush();
    err.write(fmt::format(format, std::forward<Args>(args)...) + "\n");
    err.flush();
  }
};

// Makes streamed text from a model safe for a terminal: newline and tab stay, other control
// characters (C0, DEL, C1) become
// \xNN; characters that arrive in pieces are put together first.
class TerminalFilter {
 public:
  std::string operator()(std::string_view text);
  std::string finish();  // what is left of an unfinished character

 private:
  std::string partial_;
};

}  // namespace berth::cli
