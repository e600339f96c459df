#include "base/glob.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

bool matches(std::string_view pattern, std::string_view path) {
  const auto glob = Glob::parse(pattern);
  EXPECT_TRUE(glob) << pattern;
  return glob && glob->matches(path);
}

TEST(Glob, AStarStaysInItsFolder) {
  EXPECT_TRUE(matches("*.json", "config.json"));
  EXPECT_TRUE(matches("onnx/*.json", "onnx/config.json"));
  EXPECT_TRUE(matches("onnx/*", "onnx/"));
  EXPECT_FALSE(matches("onnx/*.json", "onnx/deep/config.json"));
  EXPECT_FALSE(matches("*.json", "config.jsonl"));
  EXPECT_TRUE(matches("*Q4*K*", "model-Q4_K_M.gguf"));
}

TEST(Glob, APatternWithoutASlashIsForTheLastComponentToo) {
  EXPECT_TRUE(matches("*.json", "a/b/config.json"));
  EXPECT_TRUE(matches("config.json", "a/config.json"));
  EXPECT_FALSE(matches("a", "a/config.json"));
  EXPECT_FALSE(matches("b/config.json", "a/b/config.json"));
}

TEST(Glob, TwoStarsGoThroughFolders) {
  EXPECT_TRUE(matches("onnx/**", "onnx/a/b.onnx"));
  EXPECT_FALSE(matches("onnx/**", "onnx"));
  EXPECT_TRUE(matches("**/b.json", "b.json"));
  EXPECT_TRUE(matches("**/b.json", "x/y/b.json"));
  EXPECT_FALSE(matches("**/b.json", "x/ab.json"));
  EXPECT_TRUE(matches("a/**/b", "a/b"));
  EXPECT_TRUE(matches("a/**/b", "a/x/y/b"));
  EXPECT_FALSE(matches("a/**/b", "ab"));
  EXPECT_TRUE(matches("a**b", "a/x/b"));
  EXPECT_TRUE(matches("**", "a/b"));
}

TEST(Glob, OneCharacterAndSets) {
  EXPECT_TRUE(matches("model-?.bin", "model-1.bin"));
  EXPECT_TRUE(matches("model-?.bin", "model-\u00e9.bin"));
  EXPECT_FALSE(matches("a?b", "a/b"));
  EXPECT_TRUE(matches("Q[4-6]_K", "Q5_K"));
  EXPECT_FALSE(matches("Q[4-6]_K", "Q8_K"));
  EXPECT_TRUE(matches("Q[!4-6]_K", "Q8_K"));
  EXPECT_TRUE(matches("Q[^4]_K", "Q8_K"));
  EXPECT_FALSE(matches("a[!x]b", "a/b"));
  EXPECT_TRUE(matches("[]]", "]"));
  EXPECT_TRUE(matches("[*]", "*"));
  EXPECT_FALSE(matches("[*]", "x"));
  EXPECT_TRUE(matches("[a-]", "-"));
}

TEST(Glob, AllElseStandsForItself) {
  EXPECT_TRUE(matches("a.b+c(d)", "a.b+c(d)"));
  EXPECT_FALSE(matches("a.b", "axb"));
  EXPECT_FALSE(matches("A", "a"));
  EXPECT_TRUE(matches("\xff?", "\xff\xfe"));  // no UTF-8: bytes
}

TEST(Glob, WhatIsNoneIsRefused) {
  for (const std::string& wrong : {std::string(), std::string("a[b"), std::string("[]"),
                                   std::string("[!"), std::string(Glob::kMaxBytes + 1, 'a')}) {
    const auto glob = Glob::parse(wrong);
    ASSERT_FALSE(glob) << wrong;
    EXPECT_EQ(glob.error().code(), Code::kInvalid);
  }
}

// Backtracking would never end here.
TEST(Glob, ManyStarsTakeNoLonger) {
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  EXPECT_FALSE(matches(pattern + "b", std::string(4000, 'a')));
}

}  // namespace
}  // namespace berth
