#include "base/failpoint.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace berth {
namespace {

// The environment is read before main: the test starts itself again with it.
int run_self(const char* wish) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("BERTH_FAILPOINT", wish, 1);
    ::execl(self.c_str(), self.c_str(), "--gtest_filter=FailpointChild.DISABLED_PassesThreeTimes",
            "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
    ::_exit(99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(FailpointChild, DISABLED_PassesThreeTimes) {
  for (int pass = 0; pass < 3; ++pass) BERTH_FAILPOINT("test.point");
}

TEST(Failpoint, KillsAtTheTurnThatWasAskedFor) {
  EXPECT_EQ(run_self("test.point"), -SIGKILL);
  EXPECT_EQ(run_self("test.point:3"), -SIGKILL);
}

TEST(Failpoint, IsPassedOtherwise) {
  EXPECT_EQ(run_self("test.point:4"), 0);
  EXPECT_EQ(run_self("test.other"), 0);
  EXPECT_EQ(run_self("test.point:x"), 0);
  EXPECT_EQ(run_self(""), 0);
}

}  // namespace
}  // namespace berth
