#include "fs/scratch.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <thread>
#include <vector>

namespace berth::fs {
namespace {

namespace files = std::filesystem;

class ScratchTest : public ::testing::Test {
 protected:
  ScratchTest() {
    std::string name = "/tmp/berth-scratch-XXXXXX";
    below = ::mkdtemp(name.data());
  }
  ~ScratchTest() override { files::remove_all(below); }
  std::string below;
};

TEST_F(ScratchTest, GoesWithItsObject) {
  std::string path;
  {
    const auto scratch = Scratch::make(below + "/new", "w-").value();
    path = scratch->path();
    EXPECT_TRUE(path.starts_with(below + "/new/w-")) << path;
    std::ofstream(path + "/file") << "x";
  }
  EXPECT_FALSE(files::exists(path));
}

TEST_F(ScratchTest, TheNextOneRemovesWhatIsAbandonedAndNothingElse) {
  files::create_directories(below + "/w-killed");
  std::ofstream(below + "/w-killed/.lock") << "";
  files::create_directories(below + "/other");
  const auto first = Scratch::make(below, "w-").value();
  EXPECT_FALSE(files::exists(below + "/w-killed"));
  const auto second = Scratch::make(below, "w-").value();
  EXPECT_TRUE(files::exists(first->path()));
  EXPECT_TRUE(files::exists(below + "/other"));
}

TEST_F(ScratchTest, WhatWasMovedAwayStays) {
  {
    const auto scratch = Scratch::make(below, "w-").value();
    files::rename(scratch->path(), below + "/kept");
  }
  EXPECT_TRUE(files::exists(below + "/kept"));
}

// Each one's search for what is abandoned passes by the others' half made folders.
TEST_F(ScratchTest, ManyAtOnceEachKeepTheirFolder) {
  std::atomic<int> refused = 0, lost = 0;
  std::vector<std::thread> makers;
  for (int maker = 0; maker < 8; ++maker) {
    makers.emplace_back([&] {
      for (int turn = 0; turn < 300; ++turn) {
        const auto scratch = Scratch::make(below, "w-");
        if (!scratch) {
          ++refused;
        } else if (!files::exists((*scratch)->path())) {
          ++lost;
        }
      }
    });
  }
  for (std::thread& maker : makers) maker.join();
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(lost, 0);
  EXPECT_TRUE(files::is_empty(below));
}

}  // namespace
}  // namespace berth::fs
