#include "fs/scratch.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>

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

}  // namespace
}  // namespace berth::fs
