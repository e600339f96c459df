#include "process/spawn.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace berth::process {
namespace {

// Descriptors are first moved up here, so that no target number hits a source that is still needed.
constexpr int kParking = 200;

enum class Step : int { kOrphaned, kCgroup, kFiles, kDirectory, kLimits, kFilter, kExec };

std::string_view name_of(Step step) {
  switch (step) {
    case Step::kOrphaned:
      return "its parent has gone";
    case Step::kCgroup:
      return "cannot enter its cgroup";
    case Step::kFiles:
      return "cannot pass its files";
    case Step::kDirectory:
      return "cannot enter its directory";
    case Step::kLimits:
      return "cannot set its limits";
    case Step::kFilter:
      return "cannot set its system call filter";
    case Step::kExec:
      return "cannot run it";
  }
  return "";
}

struct Failure {
  Step step;
  int error;
};

struct Limit {
  decltype(RLIMIT_CORE) resource;
  rlimit value;
};

// All that the child needs, allocated before the fork: after it only calls that are safe in a
// signal handler are allowed, for another thread may have held the allocator's lock.
struct Prepared {
  pid_t parent = 0;
  std::vector<std::string> environment;
  std::vector<char*> argv;
  std::vector<char*> envp;
  const char* program = nullptr;
  const char* directory = nullptr;
  int standard[3] = {-1, -1, -1};
  struct Move {
    int from;
    int to;
    int parked;
  };
  std::vector<Move> moves;
  std::vector<Limit> limits;
  sock_fprog filter{};
  bool no_new_privileges = false;
  int cgroup = -1;
  int report = -1;
};

[[noreturn]] void give_up(int report, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

void reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
}

void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

int place_files(Prepared& prepared) {
  const int report = ::fcntl(prepared.report, F_DUPFD_CLOEXEC, kParking);
  if (report < 0) give_up(prepared.report, Step::kFiles);
  for (Prepared::Move& move : prepared.moves) {
    move.parked = ::fcntl(move.from, F_DUPFD_CLOEXEC, kParking);
    if (move.parked < 0) give_up(report, Step::kFiles);
  }
  for (int& fd : prepared.standard) {
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, kParking);
    if (fd < 0) give_up(report, Step::kFiles);
  }
  // Whatever else is open (from libraries, from our own parent) ends at exec.
  if (::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) {
    give_up(report, Step::kFiles);
  }
  for (int target = 0; target < 3; ++target) {
    if (::dup2(prepared.standard[target], target) < 0) give_up(report, Step::kFiles);
  }
  for (const Prepared::Move& move : prepared.moves) {
    if (::dup2(move.parked, move.to) < 0) give_up(report, Step::kFiles);
  }
  return report;
}

void confine(const Prepared& prepared, int report) {
  for (const Limit& limit : prepared.limits) {
    if (::setrlimit(limit.resource, &limit.value) != 0) give_up(report, Step::kLimits);
  }
  if (prepared.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    give_up(report, Step::kFilter);
  }
  if (prepared.filter.len == 0) return;
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prepared.filter) != 0) {
    give_up(report, Step::kFilter);
  }
}

[[noreturn]] void become(Prepared& prepared) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != prepared.parent) give_up(prepared.report, Step::kOrphaned);
  // A session and with it a process group of its own: no terminal to type into, and one number for
  // all that it starts.
  ::setsid();
  if (prepared.cgroup >= 0 && ::write(prepared.cgroup, "0", 1) != 1) {
    give_up(prepared.report, Step::kCgroup);
  }
  reset_signals();
  const int report = place_files(prepared);
  if (::chdir(prepared.directory) != 0) give_up(report, Step::kDirectory);
  confine(prepared, report);
  unblock_signals();
  ::execve(prepared.program, prepared.argv.data(), prepared.envp.data());
  give_up(report, Step::kExec);
}

void add_limit(std::vector<Limit>& limits, decltype(RLIMIT_CORE) resource,
               std::optional<std::uint64_t> value) {
  if (!value) return;
  rlimit now{};
  ::getrlimit(resource, &now);
  // A limit can only be lowered.
  const rlim_t bound =
      now.rlim_max == RLIM_INFINITY ? *value : std::min<rlim_t>(*value, now.rlim_max);
  limits.push_back({resource, {bound, bound}});
}

Result<Prepared> prepare(const Command& command) {
  if (!command.program.starts_with('/')) {
    return fail(Code::kInvalid, "cannot run {}: its path must be absolute", command.program);
  }
  Prepared prepared;
  prepared.parent = ::getpid();
  prepared.program = command.program.c_str();
  prepared.directory = command.directory.c_str();
  prepared.argv.push_back(const_cast<char*>(prepared.program));
  for (const std::string& word : command.arguments) {
    if (word.find('\0') != std::string::npos) {
      return fail(Code::kInvalid, "cannot run {}: an argument holds a NUL byte", command.program);
    }
    prepared.argv.push_back(const_cast<char*>(word.c_str()));
  }
  prepared.argv.push_back(nullptr);
  for (const auto& [name, value] : command.environment)
    prepared.environment.push_back(name + "=" + value);
  for (std::string& entry : prepared.environment) prepared.envp.push_back(entry.data());
  prepared.envp.push_back(nullptr);
  for (const PassedFd& passed : command.fds) {
    if (passed.number < 3 || passed.number >= kParking || !passed.file || !*passed.file) {
      return fail(Code::kInvalid, "cannot run {}: descriptor {} cannot be passed", command.program,
                  passed.number);
    }
    prepared.moves.push_back({passed.file->get(), passed.number, -1});
  }
  add_limit(prepared.limits, RLIMIT_CORE, 0);
  add_limit(prepared.limits, RLIMIT_NOFILE, command.limits.open_files);
  add_limit(prepared.limits, RLIMIT_AS, command.limits.address_space);
  add_limit(prepared.limits, RLIMIT_FSIZE, command.limits.file_bytes);
  add_limit(prepared.limits, RLIMIT_CPU, command.limits.cpu_seconds);
  prepared.no_new_privileges = command.no_new_privileges || command.filter;
  if (command.filter) {
    const auto& program = command.filter->program();
    prepared.filter = {static_cast<unsigned short>(program.size()),
                       const_cast<sock_filter*>(program.data())};
  }
  if (command.cgroup_procs) prepared.cgroup = command.cgroup_procs->get();
  return prepared;
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "cannot make a pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Everything blocked: a handler of ours must not run in the child before its signals are reset.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

pid_t fork_into(Prepared& prepared) {
  const BlockedSignals blocked;
  const pid_t pid = ::fork();
  if (pid == 0) become(prepared);
  return pid;
}

// The report pipe closes at exec; what it carries before that is the reason why there was none.
Status await_exec(pid_t pid, const UniqueFd& report, const std::string& program) {
  Failure failure{};
  ssize_t got;
  do got = ::read(report.get(), &failure, sizeof failure);
  while (got < 0 && errno == EINTR);
  if (got == 0) return {};
  ::waitpid(pid, nullptr, 0);
  return fail_errno(got == sizeof failure ? failure.error : EIO,
                    fmt::format("cannot start {}: {}", program, name_of(failure.step)));
}

}  // namespace

Result<Spawned> spawn(const Command& command, Outputs outputs) {
  TRY(Prepared prepared, prepare(command));
  TRY(Pipe report, make_pipe());
  TRY(Pipe output, make_pipe());
  Pipe errors;
  Pipe input;
  if (outputs == Outputs::kSeparate) {
    TRY(errors, make_pipe());
  }
  if (command.input) {
    TRY(input, make_pipe());
  } else {
    input.read.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!input.read) return fail_errno(errno, "cannot open /dev/null");
  }
  prepared.report = report.write.get();
  prepared.standard[0] = input.read.get();
  prepared.standard[1] = output.write.get();
  prepared.standard[2] = (errors.write ? errors.write : output.write).get();

  Spawned spawned;
  spawned.pid = fork_into(prepared);
  if (spawned.pid < 0) return fail_errno(errno, fmt::format("cannot start {}", command.program));
  report.write.reset();
  TRY_OK(await_exec(spawned.pid, report.read, command.program));
  spawned.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, spawned.pid, 0U)));
  if (!spawned.pidfd) {
    const int error = errno;
    ::kill(spawned.pid, SIGKILL);
    ::waitpid(spawned.pid, nullptr, 0);
    return fail_errno(error, fmt::format("cannot watch {}", command.program));
  }
  spawned.input = std::move(input.write);
  spawned.output = std::move(output.read);
  spawned.errors = std::move(errors.read);
  return spawned;
}

}  // namespace berth::process
