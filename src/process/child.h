// One child process, owned: it ends when its Child goes, and with this process at the latest.
//
// Loop thread. The child leads a session and process group of its own; the whole group is killed.
// It gets SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG), so start it from the
// loop thread and not from the pool. Exit is seen through a pidfd; a child counts as ended when it
// was reaped and its output has been read to the end (or a short while after the reaping, should a
// grandchild keep the pipe open). Failures: kNotFound, kDenied, kExhausted, kIo (start); kTimeout,
// kCancelled (waits).
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "process/command.h"
#include "process/tail.h"
#include "rt/async.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::process {

struct ExitStatus {
  int code = 0;    // of exit(); meaningless when killed by a signal
  int signal = 0;  // 0 unless killed by one
  bool success() const { return code == 0 && signal == 0; }
  std::string to_string() const;  // "exit status 1", "signal 9 (Killed)"
};

class Child {
 public:
  // Starts the command; standard output and error go, merged, into the tail and line by line to
  // `on_line`.
  static Result<Child> start(rt::Loop& loop, const Command& command,
                             LineSplitter::OnLine on_line = {});
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;
  ~Child();  // kills; the reaping goes on in the loop

  pid_t pid() const;
  const Tail& output() const;
  std::optional<ExitStatus> exit_status() const;  // set once it has ended

  // Until it has ended. Any number of coroutines may wait.
  rt::Task<Result<ExitStatus>> wait(rt::Op& op);
  // SIGTERM, then SIGKILL after `grace`; returns when it has ended.
  rt::Task<ExitStatus> terminate(std::chrono::milliseconds grace);
  void signal(int number);  // to the group; nothing happens once it has ended

 private:
  struct Core;
  explicit Child(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

// A helper that runs to its end.
struct RunLimits {
  std::size_t output_bytes = 1024 * 1024;  // more on standard output is kTooLarge, and it is killed
  std::size_t error_bytes = 64 * 1024;     // the end of standard error is kept
  std::chrono::milliseconds time{60'000};
};
struct Finished {
  ExitStatus status;
  std::string output;
  std::string errors;
};
// Runs a command to its end; cancelling `op` kills it. A failing exit status is no error here.
// `on_error_line` sees standard error as it comes (progress).
rt::Task<Result<Finished>> run_to_end(rt::Op& op, rt::Loop& loop, Command command,
                                      RunLimits limits = {},
                                      LineSplitter::OnLine on_error_line = {});

// Resident bytes of a process and everything below it; 0 when it is gone. Blocking, but short.
std::uint64_t resident_bytes(pid_t pid);
// The same without pages of files (what the kernel cannot simply drop).
std::uint64_t anonymous_bytes(pid_t pid);

}  // namespace berth::process
