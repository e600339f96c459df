// For tests: output compared with a file of testdata; BERTH_ACCEPT_GOLDENS=1 writes the files
// instead.
#pragma once

#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>

namespace berth::cli {

inline void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(BERTH_SOURCE_DIR) + "/" + name;
  if (std::getenv("BERTH_ACCEPT_GOLDENS") != nullptr) {
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file) << path << " is missing; write it with BERTH_ACCEPT_GOLDENS=1";
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(text, expected.str()) << "in " << path
                                  << "; if this is meant, run with BERTH_ACCEPT_GOLDENS=1";
}

}  // namespace berth::cli
