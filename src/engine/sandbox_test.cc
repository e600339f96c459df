// The sandbox, for real where this machine allows namespaces.
#include <fstream>
#include <iterator>
#include <thread>

#include "base/text.h"
#include "engine/engine_fixture.h"
#include "engine/llama.h"
#include "rt/async.h"

namespace berth::engine {
namespace {

class RealSandbox : public EngineTest {
 protected:
  void SetUp() override {
    if (!process::find_program("bwrap", "/usr/bin:/bin"))
      GTEST_SKIP() << "bubblewrap is not installed";
    const Status works = loop.run(probe_namespaces(op, loop, "/usr/bin/bwrap"));
    if (!works) GTEST_SKIP() << works.error().message();
  }
  process::Finished inside(const std::string& script, std::vector<Mount> more = {}) {
    SandboxPlan plan{.mounts = {{.host = "/usr", .inside = "/usr"}},
                     .links = {{"usr/lib", "/lib"}, {"usr/lib64", "/lib64"}, {"usr/bin", "/bin"}},
                     .environment = {{"PATH", "/usr/bin"}},
                     .program = "/bin/sh",
                     .arguments = {"-c", script}};
    plan.mounts.insert(plan.mounts.end(), more.begin(), more.end());
    auto command = sandboxed("/usr/bin/bwrap", std::move(plan));
    EXPECT_TRUE(command);
    auto finished = loop.run(process::run_to_end(op, loop, std::move(*command)));
    EXPECT_TRUE(finished);
    return finished.value_or(process::Finished{});
  }
};

TEST_F(RealSandbox, HasNoCapabilitiesAndTheFilter) {
  const std::string status = inside("cat /proc/self/status").output;
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos) << status;
  EXPECT_NE(status.find("CapBnd:\t0000000000000000"), std::string::npos) << status;
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
}
TEST_F(RealSandbox, SeesNeitherHomeNorNetworkNorOtherProcesses) {
  EXPECT_EQ(inside("ls /home /root /var /etc 2>/dev/null | wc -l").output, "0\n");
  EXPECT_EQ(inside("cat /proc/net/route 2>/dev/null | wc -l").output, "1\n");  // the heading
  EXPECT_EQ(inside("ls -d /proc/[0-9]* | wc -l").output.size(), 2u);           // fewer than ten
}
TEST_F(RealSandbox, WritesOnlyToTmpAndItsFolder) {
  files::create_directories(folder + "/rw");
  put("ro/file", "x");
  const auto finished = inside(
      "echo 1 > /tmp/a && echo 2 > /run/berth/b; echo 3 > /usr/c; echo 4 > /models/m; cat "
      "/models/m",
      {{.host = folder + "/ro/file", .inside = "/models/m"},
       {Mount::Access::kReadWrite, folder + "/rw", "/run/berth"}});
  EXPECT_EQ(finished.output, "x");
  EXPECT_TRUE(files::exists(folder + "/rw/b"));
  EXPECT_FALSE(files::exists("/usr/c"));
}
rt::Task<Result<std::string>> output_of(rt::Loop& loop, rt::Op& op, process::Command command) {
  CO_TRY(process::Child child, process::Child::start(loop, command));
  CO_TRY_OK(co_await child.wait(op));
  co_return child.output().text();
}
TEST_F(RealSandbox, ABinaryOfTheHostRunsWithTheHostsLibraries) {
  put_program("build/bin/llama-server",
              "#!/bin/sh\necho \"$0\" $(cat /models/model.gguf) $(ls / | grep -c home)\n");
  put("blob", "weights");
  LaunchRequest request = tiny_request();
  request.files.model.host = folder + "/blob";
  const auto found = find_llama({folder + "/build/bin", "", ""});
  auto launched = make_launch(*found, {folder + "/run", "/usr/bin/bwrap", "/"}, request);
  ASSERT_TRUE(launched) << launched.error().message();
  EXPECT_EQ(loop.run(output_of(loop, op, launched->command)).value(),
            "/engine/llama-server weights 0\n");
}
// Processes whose command line has this in it.
std::size_t count_processes(const std::string& text) {
  std::size_t count = 0;
  std::error_code ignored;
  for (const auto& entry : files::directory_iterator("/proc", ignored)) {
    if (!parse_u64(entry.path().filename().string())) continue;
    std::ifstream file(entry.path() / "cmdline");
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    if (line.find(text) != std::string::npos) ++count;
  }
  return count;
}
rt::Task<Result<process::ExitStatus>> ended_after(rt::Loop& loop, process::Command command,
                                                  std::chrono::microseconds time) {
  CO_TRY(process::Child child, process::Child::start(loop, command));
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  co_return co_await child.terminate(std::chrono::seconds(10));
}
// Before bubblewrap has bound what it starts to its own life, it is the process group that counts.
TEST_F(RealSandbox, IsEndedAtAnyMomentOfItsStart) {
  const std::string marker = "86400.0" + std::to_string(::getpid());
  for (int turn = 0; turn < 400; ++turn) {
    SandboxPlan plan{.mounts = {{.host = "/usr", .inside = "/usr"}},
                     .links = {{"usr/lib", "/lib"}, {"usr/lib64", "/lib64"}, {"usr/bin", "/bin"}},
                     .program = "/usr/bin/sleep",
                     .arguments = {marker}};
    auto command = sandboxed("/usr/bin/bwrap", std::move(plan));
    ASSERT_TRUE(command);
    ASSERT_TRUE(loop.run(
        ended_after(loop, std::move(*command), std::chrono::microseconds(turn % 100 * 100))));
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (count_processes(marker) > 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(count_processes(marker), 0u);
}
TEST_F(RealSandbox, CannotMakeNamespacesOfItsOwn) {
  EXPECT_NE(inside("unshare -Ur true").status.code, 0);
}
TEST_F(EngineTest, APlaceThatClimbsIsRefused) {
  EXPECT_FALSE(sandboxed("/usr/bin/bwrap", {.mounts = {{.host = "/", .inside = "/a/../../b"}}}));
  EXPECT_FALSE(sandboxed("/usr/bin/bwrap", {.mounts = {{.host = "/", .inside = "relative"}}}));
}
TEST_F(EngineTest, AMachineWithoutNamespacesIsDeniedWithAWayOut) {
  put_program("bwrap",
              "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n");
  const Status status = loop.run(probe_namespaces(op, loop, folder + "/bwrap"));
  EXPECT_EQ(status.error().code(), Code::kDenied);
  EXPECT_NE(status.error().message().find("--no-sandbox"), std::string::npos);
}
TEST_F(EngineTest, WithoutBubblewrapPlanningSaysSo) {
  put_root("root");
  Llama llama(
      loop, {.configured = folder + "/root", .path = "/nonexistent", .runtime_dir = folder + "/r"});
  const auto report = loop.run(llama.sandbox_report(op, Isolation::kSandbox));
  EXPECT_EQ(report.error().code(), Code::kNotFound);
  EXPECT_TRUE(loop.run(llama.sandbox_report(op, Isolation::kNone)));
}

}  // namespace
}  // namespace berth::engine
