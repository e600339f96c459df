#include "fs/fault.h"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/file.h"

namespace berth::fs {
namespace {

TEST(Fault, IsReadFromItsWords) {
  const auto faults = fault::parse("write:3:ENOSPC,sync:1:EIO:sticky,write:2:short");
  ASSERT_TRUE(faults) << faults.error().message();
  ASSERT_EQ(faults->size(), 3u);
  EXPECT_EQ((*faults)[0].operation, fault::Operation::kWrite);
  EXPECT_EQ((*faults)[0].turn, 3u);
  EXPECT_EQ((*faults)[0].error, ENOSPC);
  EXPECT_FALSE((*faults)[0].sticky);
  EXPECT_TRUE((*faults)[1].sticky);
  EXPECT_EQ((*faults)[2].error, fault::kShort);
}

TEST(Fault, WhatDoesNotParseIsRefused) {
  for (const char* text : {"", "write", "write:0:EIO", "write:x:EIO", "write:1:EWHAT",
                           "readdir:1:EIO", "sync:1:short", "write:1:EIO:often", "write:1:EIO,"}) {
    EXPECT_FALSE(fault::parse(text)) << text;
  }
}

// The environment is read before main, so a fault is only seen by a program that was started with
// it: this test starts itself again.
class FaultProcess : public testing::Test {
 protected:
  int run_self(const char* fault, const char* test) {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
    const std::string filter = std::string("--gtest_filter=FaultChild.DISABLED_") + test;
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("BERTH_FAULT", fault, 1);
      ::execl(self.c_str(), self.c_str(), filter.c_str(), "--gtest_also_run_disabled_tests",
              static_cast<char*>(nullptr));
      ::_exit(99);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

struct FaultChild : testing::Test {
  FaultChild() {
    char name[] = "/tmp/berth-fault-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~FaultChild() override { std::filesystem::remove_all(path); }
  std::string path;
};

TEST_F(FaultChild, DISABLED_SecondWriteFailsOnce) {
  auto dir = Dir::open(path);
  ASSERT_TRUE(dir);
  auto file = dir->create_new("a");
  ASSERT_TRUE(file);
  const std::string text = "hello";
  EXPECT_TRUE(file->write_at(0, as_bytes(text)));
  const Status second = file->write_at(0, as_bytes(text));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kExhausted);
  EXPECT_TRUE(file->write_at(0, as_bytes(text)));
}

TEST_F(FaultChild, DISABLED_SyncFailsForEver) {
  auto dir = Dir::open(path);
  ASSERT_TRUE(dir);
  EXPECT_FALSE(dir->replace("a", "one"));
  EXPECT_FALSE(dir->replace("a", "one"));
  EXPECT_TRUE(dir->list()->empty());  // no temporary file stays
}

TEST_F(FaultChild, DISABLED_ShortWriteIsContinued) {
  auto dir = Dir::open(path);
  ASSERT_TRUE(dir);
  ASSERT_TRUE(dir->replace("a", "a whole sentence"));
  EXPECT_EQ(dir->read_small("a", 100).value_or(""), "a whole sentence");
}

TEST_F(FaultChild, DISABLED_SecondReadFails) {
  auto dir = Dir::open(path);
  ASSERT_TRUE(dir);
  ASSERT_TRUE(dir->replace("a", "a sentence"));
  EXPECT_TRUE(dir->read_small("a", 100));
  const auto second = dir->read_small("a", 100);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kIo);
}

TEST_F(FaultProcess, NthWriteFails) {
  EXPECT_EQ(run_self("write:2:ENOSPC", "SecondWriteFailsOnce"), 0);
  EXPECT_NE(run_self("write:1:ENOSPC", "SecondWriteFailsOnce"), 0);
}

TEST_F(FaultProcess, NthReadFails) {
  EXPECT_EQ(run_self("read:2:EIO", "SecondReadFails"), 0);
  EXPECT_NE(run_self("read:1:EIO", "SecondReadFails"), 0);
}

TEST_F(FaultProcess, StickyFaultStays) {
  EXPECT_EQ(run_self("sync:1:EIO:sticky", "SyncFailsForEver"), 0);
  EXPECT_NE(run_self("sync:1:EIO", "SyncFailsForEver"), 0);
}

TEST_F(FaultProcess, ShortWriteIsNoFailure) {
  EXPECT_EQ(run_self("write:1:short", "ShortWriteIsContinued"), 0);
}

TEST_F(FaultProcess, NonsenseEndsTheProgram) { EXPECT_EQ(run_self("nonsense", "X"), 2); }

}  // namespace
}  // namespace berth::fs
