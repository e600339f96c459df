#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/text.h"
#include "process/cgroup.h"
#include "process/child.h"

namespace berth::process {
namespace {

using namespace std::chrono_literals;

Command shell(std::string script) {
  return {.program = "/bin/sh",
          .arguments = {"-c", std::move(script)},
          .environment = {{"PATH", "/usr/bin:/bin"}}};
}

class Process : public testing::Test {
 protected:
  Finished finish(Command command, RunLimits limits = {}) {
    auto finished = loop.run(run_to_end(op, loop, std::move(command), limits));
    EXPECT_TRUE(finished) << finished.error().message();
    return finished ? *finished : Finished{};
  }
  Error failure(Command command, RunLimits limits = {}) {
    auto finished = loop.run(run_to_end(op, loop, std::move(command), limits));
    EXPECT_FALSE(finished);
    return finished ? Error(Code::kInternal, "") : finished.error();
  }

  rt::Loop loop;
  rt::Op op;
};

bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

TEST_F(Process, OutputErrorsAndStatusAreCollected) {
  const Finished finished = finish(shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(finished.output, "out\n");
  EXPECT_EQ(finished.errors, "err\n");
  EXPECT_EQ(finished.status.code, 3);
  EXPECT_EQ(finished.status.to_string(), "exit status 3");
}

TEST_F(Process, TheEnvironmentIsExactlyTheGivenOne) {
  ::setenv("BERTH_TEST_LEAK", "secret", 1);
  const Finished finished =
      finish({.program = "/usr/bin/env", .environment = {{"A", "1"}, {"B", "x y"}}});
  EXPECT_EQ(finished.output, "A=1\nB=x y\n");
}

TEST_F(Process, ArgumentsReachTheProgramUntouched) {
  Command command{.program = "/usr/bin/printf", .arguments = {"%s|", "a b", "$HOME", "'\";&"}};
  EXPECT_EQ(finish(command).output, "a b|$HOME|'\";&|");
}

TEST_F(Process, InputIsWrittenAndThenClosed) {
  Command command{.program = "/bin/cat"};
  command.input = std::string(300'000, 'x');
  EXPECT_EQ(finish(command).output.size(), 300'000u);
}

TEST_F(Process, WithoutInputItIsEmpty) { EXPECT_EQ(finish({.program = "/bin/cat"}).output, ""); }

TEST_F(Process, OnlyPassedDescriptorsAreOpen) {
  auto file = std::make_shared<const UniqueFd>(::open("/dev/null", O_RDONLY));
  UniqueFd leaked(::open("/dev/zero", O_RDONLY));  // no CLOEXEC on purpose
  Command command = shell("cd /proc/self/fd; for f in *; do echo $f $(readlink $f); done");
  command.fds = {{.number = 7, .file = file}};
  const std::string output = finish(command).output;
  EXPECT_NE(output.find("7 /dev/null"), std::string::npos) << output;
  EXPECT_EQ(output.find("/dev/zero"), std::string::npos) << output;
}

TEST_F(Process, APassedDescriptorMayTakeAnotherOnesNumber) {
  auto zero = std::make_shared<const UniqueFd>(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  auto null = std::make_shared<const UniqueFd>(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Command command =
      shell(fmt::format("readlink /proc/self/fd/{} /proc/self/fd/{}", zero->get(), null->get()));
  command.fds = {{.number = null->get(), .file = zero}, {.number = zero->get(), .file = null}};
  EXPECT_EQ(finish(command).output, "/dev/null\n/dev/zero\n");
}

TEST_F(Process, ADescriptorNumberOutOfRangeIsRefused) {
  Command command = shell("true");
  command.fds = {{.number = 1, .file = std::make_shared<const UniqueFd>(::dup(0))}};
  EXPECT_EQ(failure(command).code(), Code::kInvalid);
}

TEST_F(Process, TheDirectoryIsEntered) {
  Command command{.program = "/bin/pwd", .directory = "/usr"};
  EXPECT_EQ(finish(command).output, "/usr\n");
}

TEST_F(Process, AMissingProgramIsNotFound) {
  const Error error = failure({.program = "/nonexistent/program"});
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_NE(error.message().find("/nonexistent/program"), std::string::npos);
}

TEST_F(Process, ARelativeProgramIsRefused) {
  EXPECT_EQ(failure({.program = "sh"}).code(), Code::kInvalid);
}

TEST_F(Process, ANulInAnArgumentIsRefused) {
  EXPECT_EQ(failure({.program = "/bin/echo", .arguments = {std::string("a\0b", 3)}}).code(),
            Code::kInvalid);
}

TEST_F(Process, SignalsAreAtTheirDefaults) {
  // The loop ignores SIGPIPE, which an exec would hand on.
  const std::string ignored = finish(shell("grep SigIgn /proc/self/status")).output;
  EXPECT_NE(ignored.find("0000000000000000"), std::string::npos) << ignored;
  const std::string blocked = finish(shell("grep SigBlk /proc/self/status")).output;
  EXPECT_NE(blocked.find("0000000000000000"), std::string::npos) << blocked;
}

TEST_F(Process, LimitsAreSet) {
  Command command = shell("ulimit -n; ulimit -c; ulimit -t");
  command.limits = {.open_files = 77, .cpu_seconds = 55};
  EXPECT_EQ(finish(command).output, "77\n0\n55\n");
}

TEST_F(Process, NewPrivilegesAreGivenUp) {
  const std::string output = finish(shell("grep NoNewPrivs /proc/self/status")).output;
  EXPECT_NE(output.find("1"), std::string::npos);
}

TEST_F(Process, TooMuchOutputStopsIt) {
  const Error error =
      failure(shell("while :; do echo 0123456789012345678901234567890123456789; done"),
              {.output_bytes = 10'000});
  EXPECT_EQ(error.code(), Code::kTooLarge);
}

TEST_F(Process, OfErrorsTheEndIsKept) {
  const Finished finished =
      finish(shell("i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done"),
             {.error_bytes = 1000});
  EXPECT_LE(finished.errors.size(), 1000u);
  EXPECT_TRUE(finished.errors.ends_with("line 2999\n"));
  EXPECT_TRUE(finished.errors.starts_with("line "));
}

TEST_F(Process, ATimeLimitStopsIt) {
  const auto begin = std::chrono::steady_clock::now();
  const Error error = failure(shell("sleep 60"), {.time = 50ms});
  EXPECT_EQ(error.code(), Code::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

rt::Task<Status> cancelled_run(rt::Loop& loop, rt::Op& op) {
  const auto finished = co_await run_to_end(op, loop, shell("echo ready >&2; sleep 60"), {},
                                            [&op](std::string_view) { op.cancel(); });
  if (finished) co_return fail(Code::kInternal, "it ended by itself");
  co_return std::unexpected(finished.error());
}
TEST_F(Process, CancellingStopsIt) {
  EXPECT_EQ(loop.run(cancelled_run(loop, op)).error().code(), Code::kCancelled);
}

TEST_F(Process, StandardErrorIsSeenLineByLine) {
  std::vector<std::string> lines;
  const auto finished =
      loop.run(run_to_end(op, loop, shell("printf 'a\\nb\\r\\nc' >&2"), {},
                          [&](std::string_view line) { lines.emplace_back(line); }));
  ASSERT_TRUE(finished);
  EXPECT_EQ(lines, (std::vector<std::string>{"a", "b", "c"}));
}

rt::Task<Result<ExitStatus>> start_and_wait(rt::Loop& loop, rt::Op& op, Command command,
                                            std::string& output) {
  CO_TRY(Child child, Child::start(loop, command));
  CO_TRY(const ExitStatus status, co_await child.wait(op));
  output = child.output().text();
  co_return status;
}
TEST_F(Process, AChildMergesItsOutputs) {
  std::string output;
  const auto status = loop.run(start_and_wait(loop, op, shell("echo a; echo b >&2"), output));
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->success());
  EXPECT_EQ(output, "a\nb\n");
}

rt::Task<Result<ExitStatus>> start_and_terminate(rt::Loop& loop, rt::Op& op, std::string script) {
  rt::Event ready(loop);
  bool said = false;
  CO_TRY(Child child, Child::start(loop, shell(std::move(script)), [&](std::string_view) {
           said = true;
           ready.notify_all();
         }));
  while (!said) CO_TRY_OK(co_await ready.wait(op));
  co_return co_await child.terminate(100ms);
}
TEST_F(Process, TerminateIsSeenByTheChildFirst) {
  const auto status = loop.run(
      start_and_terminate(loop, op, "trap 'exit 9' TERM; echo go; while :; do sleep 0.01; done"));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 9);
}
TEST_F(Process, WhoIgnoresTerminateIsKilled) {
  const auto status = loop.run(
      start_and_terminate(loop, op, "trap '' TERM; echo go; while :; do sleep 0.01; done"));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->signal, SIGKILL);
  EXPECT_EQ(status->to_string(), "signal 9 (Killed)");
}

rt::Task<Result<pid_t>> start_and_drop(rt::Loop& loop, rt::Op& op) {
  rt::Event ready(loop);
  pid_t grandchild = 0;
  CO_TRY(Child child,
         Child::start(loop, shell("sleep 60 & echo $!; wait"), [&](std::string_view line) {
           grandchild = static_cast<pid_t>(parse_u64(line).value_or(0));
           ready.notify_all();
         }));
  while (grandchild == 0) CO_TRY_OK(co_await ready.wait(op));
  const pid_t pid = child.pid();
  {
    const Child dropped = std::move(child);
  }
  while (!is_gone(pid)) CO_TRY_OK(co_await rt::sleep_for(op, 1ms));
  co_return grandchild;
}
bool is_dead(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.empty() || text.find(") Z ") != std::string::npos;
}
TEST_F(Process, DroppingAChildKillsItsWholeGroup) {
  const auto grandchild = loop.run(start_and_drop(loop, op));
  ASSERT_TRUE(grandchild) << grandchild.error().message();
  EXPECT_GT(*grandchild, 0);
  // It is reparented to init, whose reaping is not ours to wait for: dead is enough.
  for (int i = 0; i < 1000 && !is_dead(*grandchild); ++i) ::usleep(1000);
  EXPECT_TRUE(is_dead(*grandchild));
}

rt::Task<Result<pid_t>> start_and_leak(rt::Loop& loop, std::optional<Child>& child) {
  CO_TRY(Child started, Child::start(loop, shell("sleep 60")));
  const pid_t pid = started.pid();
  child.emplace(std::move(started));
  co_return pid;
}
TEST(ProcessLoop, NoChildOutlivesTheLoop) {
  pid_t pid = 0;
  {
    rt::Loop loop;
    std::optional<Child> child;
    pid = loop.run(start_and_leak(loop, child)).value();
    EXPECT_FALSE(is_gone(pid));
  }
  EXPECT_TRUE(is_gone(pid));
}

rt::Task<Status> count_an_end(Child& child, rt::Op& op, int& ended) {
  CO_TRY_OK(co_await child.wait(op));
  ++ended;
  co_return Status();
}
rt::Task<Result<int>> several_waits(rt::Loop& loop, rt::Op& op) {
  CO_TRY(Child child, Child::start(loop, shell("exit 0")));
  rt::Scope scope(loop);
  int ended = 0;
  for (int i = 0; i < 3; ++i) scope.spawn(count_an_end(child, op, ended));
  CO_TRY_OK(co_await scope.join());
  co_return ended;
}
TEST_F(Process, SeveralMayWait) { EXPECT_EQ(loop.run(several_waits(loop, op)).value(), 3); }

rt::Task<Result<std::uint64_t>> memory_of_tree(rt::Loop& loop, rt::Op& op) {
  rt::Event ready(loop);
  bool said = false;
  CO_TRY(Child child, Child::start(loop, shell("sleep 60 & echo; wait"), [&](std::string_view) {
           said = true;
           ready.notify_all();
         }));
  while (!said) CO_TRY_OK(co_await ready.wait(op));
  const std::uint64_t all = resident_bytes(child.pid());
  EXPECT_GT(anonymous_bytes(child.pid()), 0u);
  EXPECT_LT(anonymous_bytes(child.pid()), all);
  co_return all;
}
TEST_F(Process, MemoryIsThatOfTheWholeTree) {
  EXPECT_GT(loop.run(memory_of_tree(loop, op)).value(), 100'000u);
  EXPECT_EQ(resident_bytes(0x3fffffff), 0u);
}

// ---- the system call filter -------------------------------------------------------------------

Command filtered(std::string script, Network network = Network::kUnixOnly) {
  Command command = shell(std::move(script));
  command.filter =
      std::make_shared<const SystemCallFilter>(SystemCallFilter::deny_list(network).value());
  return command;
}

TEST_F(Process, TheFilterLetsOrdinaryWorkThrough) {
  EXPECT_EQ(finish(filtered("ls / > /dev/null && echo a | cat")).output, "a\n");
}
TEST_F(Process, TheFilterDeniesNewNamespaces) {
  EXPECT_NE(finish(filtered("unshare -U true")).status.code, 0);
  EXPECT_NE(finish(filtered("unshare -n true")).status.code, 0);
}
TEST_F(Process, TheFilterDeniesMounts) {
  EXPECT_NE(finish(filtered("mount -t tmpfs none /mnt")).status.code, 0);
}
TEST_F(Process, TheFilterDeniesTheNetworkWhenAsked) {
  // bash's /dev/tcp makes an AF_INET socket; the port is closed in any case, the reason differs.
  Command denied = filtered("");
  denied.program = "/bin/bash";
  denied.arguments = {"-c", "echo > /dev/tcp/127.0.0.1/1"};
  EXPECT_NE(finish(denied).errors.find("not supported"), std::string::npos);
  denied.filter = filtered("", Network::kAny).filter;
  EXPECT_NE(finish(denied).errors.find("refused"), std::string::npos);
}
TEST(SystemCallFilter, AMemoryFileHoldsTheWholeProgram) {
  const auto filter = SystemCallFilter::deny_list(Network::kAny).value();
  const auto file = filter.to_memory_file().value();
  struct stat info{};
  ASSERT_EQ(::fstat(file.get(), &info), 0);
  EXPECT_EQ(static_cast<std::size_t>(info.st_size), filter.program().size() * sizeof(sock_filter));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 0);
}

// ---- names and tails --------------------------------------------------------------------------

TEST(FindProgram, GoesByThePath) {
  EXPECT_TRUE(find_program("sh", "/nonexistent:/bin").has_value());
  EXPECT_FALSE(find_program("sh", "bin:.").has_value());  // relative folders do not count
  EXPECT_FALSE(find_program("", "/bin").has_value());
  EXPECT_FALSE(find_program("/etc/passwd", "/bin").has_value());
  EXPECT_EQ(find_program("/bin/sh", ""), "/bin/sh");
}

TEST(Describe, QuotesWhereNeeded) {
  EXPECT_EQ(describe({.program = "/bin/x", .arguments = {"a b", "it's", "--c=d", ""}}),
            "/bin/x 'a b' 'it'\\''s' --c=d ''");
  EXPECT_EQ(describe({.program = "/bin/x", .arguments = {"\x1b[2J"}}), "/bin/x '\\x1b[2J'");
}

TEST(Tail, KeepsTheEnd) {
  Tail tail(100);
  for (int i = 0; i < 100; ++i) tail.append(fmt::format("line {}\n", i));
  EXPECT_LE(tail.text().size(), 100u);
  EXPECT_TRUE(tail.text().ends_with("line 99\n"));
  EXPECT_TRUE(tail.text().starts_with("line "));
  EXPECT_EQ(tail.last_lines(2), "line 98\nline 99");
  EXPECT_EQ(tail.total(), 790u);
}
TEST(Tail, OneHugeWriteIsBounded) {
  Tail tail(100);
  tail.append(std::string(1'000'000, 'x'));
  EXPECT_EQ(tail.text(), std::string(100, 'x'));
}

TEST(LineSplitter, LinesMayBeSplitAnywhereAndAreBounded) {
  std::vector<std::string> lines;
  LineSplitter splitter([&](std::string_view line) { lines.emplace_back(line); });
  for (const char c : std::string("ab\ncd\r\n\nrest")) splitter.feed({&c, 1});
  splitter.feed(std::string(20'000, 'y') + "\nz");
  splitter.finish();
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0], "ab");
  EXPECT_EQ(lines[1], "cd");
  EXPECT_EQ(lines[2], "");
  for (const std::string& line : lines) EXPECT_LE(line.size(), LineSplitter::kMaxLine);
  EXPECT_EQ(lines[6], "z");
}

// ---- cgroups, on a folder that looks like the kernel's ----------------------------------------

class FakeCgroups : public testing::Test {
 protected:
  FakeCgroups() {
    char name[] = "/tmp/berth-cgroup-XXXXXX";
    root = ::mkdtemp(name);
    places = {.mount = root + "/cg", .self = root + "/self"};
    std::filesystem::create_directories(places.mount + "/user/app");
    put("cg/cgroup.controllers", "cpu memory pids\n");
  }
  ~FakeCgroups() override { std::filesystem::remove_all(root); }
  void put(const std::string& name, const std::string& text) {
    std::ofstream(root + "/" + name) << text;
  }
  bool delegate(const std::string& name) {
    return ::setxattr((root + "/" + name).c_str(), "user.delegate", "1", 1, 0) == 0;
  }
  std::string get(const std::string& name) {
    std::ifstream file(root + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string root;
  Cgroup::Places places;
};

TEST_F(FakeCgroups, WithoutAUnifiedHierarchyThereIsNone) {
  std::filesystem::remove(places.mount + "/cgroup.controllers");
  put("self", "4:memory:/x\n0::/\n");
  EXPECT_FALSE(Cgroup::create("e", {}, places).value().has_value());
  EXPECT_NE(why_no_cgroup(places).find("no unified"), std::string::npos);
}
TEST_F(FakeCgroups, WithoutDelegationThereIsNone) {
  put("self", "0::/user/app\n");
  put("cg/user/cgroup.procs", "");
  put("cg/user/cgroup.subtree_control", "cpu\n");
  EXPECT_FALSE(Cgroup::create("e", {}, places).value().has_value());
  EXPECT_NE(why_no_cgroup(places), "");
}
TEST_F(FakeCgroups, ADelegatedGroupAboveTakesTheChild) {
  put("self", "0::/user/app\n");
  put("cg/user/cgroup.procs", "");
  put("cg/user/cgroup.subtree_control", "cpu memory pids\n");
  if (!delegate("cg/user")) GTEST_SKIP() << "no extended attributes here";
  const auto group = Cgroup::create("e", {.memory_bytes = 1000, .processes = 9}, places).value();
  ASSERT_TRUE(group.has_value());
  EXPECT_EQ(group->path(), places.mount + "/user/e");
  EXPECT_EQ(get("cg/user/e/memory.max"), "1000");
  EXPECT_EQ(get("cg/user/e/pids.max"), "9");
  EXPECT_FALSE(group->out_of_memory());
  put("cg/user/e/memory.events", "low 0\noom 1\noom_kill 1\n");
  EXPECT_TRUE(group->out_of_memory());
}
TEST_F(FakeCgroups, OurOwnDelegatedGroupIsLeftForALeaf) {
  put("self", "0::/user/app\n");
  put("cg/user/app/cgroup.procs", std::to_string(::getpid()) + "\n");
  put("cg/user/app/cgroup.controllers", "memory pids\n");
  if (!delegate("cg/user/app")) GTEST_SKIP() << "no extended attributes here";
  EXPECT_EQ(why_no_cgroup(places), "");
  const auto group = Cgroup::create("e", {}, places).value();
  ASSERT_TRUE(group.has_value());
  EXPECT_EQ(get("cg/user/app/berth/cgroup.procs"), "0");
  EXPECT_EQ(get("cg/user/app/cgroup.subtree_control"), "+memory +pids");
}
TEST_F(FakeCgroups, ASharedGroupIsNotTakenOver) {
  put("self", "0::/user/app\n");
  put("cg/user/app/cgroup.procs", std::to_string(::getpid()) + "\n1\n");
  put("cg/user/app/cgroup.controllers", "memory pids\n");
  (void)delegate("cg/user/app");
  EXPECT_FALSE(Cgroup::create("e", {}, places).value().has_value());
}
TEST_F(FakeCgroups, APathThatClimbsIsNotFollowed) {
  put("self", "0::/../../etc\n");
  EXPECT_FALSE(Cgroup::create("e", {}, places).value().has_value());
}

}  // namespace
}  // namespace berth::process
