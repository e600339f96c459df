#include "depot/retention.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace berth::depot {
namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kNow = 1'000 * kDay;

// A digest that is easy to read.
std::string digest_of(char letter) { return "sha256:" + std::string(64, letter); }

class RetentionTest : public testing::Test {
 protected:
  RetentionTest() { state_.name = "ci/llama"; }
  void manifest(char letter, std::int64_t days_ago, const std::string& children = "",
                char subject = 0) {
    RepositoryState::Manifest& made = state_.manifests[digest_of(letter)];
    made.added = kNow - days_ago * kDay;
    for (const char child : children) made.children.push_back(digest_of(child));
    if (subject != 0) made.subject = digest_of(subject);
  }
  void tag(const std::string& name, char letter, std::int64_t days_ago) {
    state_.tags.push_back({.name = name,
                           .digest = digest_of(letter),
                           .moved = kNow - days_ago * kDay,
                           .order = 1000 - days_ago});
  }
  // "tag tag | letter letter"
  std::string judged(const std::vector<std::string>& texts) {
    const auto rules = RetentionRule::parse_all(texts);
    if (!rules) return rules.error().message();
    doomed_ = judge(state_, *rules, kNow, std::chrono::hours(1));
    std::vector<std::string> tags;
    for (const auto& gone : doomed_.tags) tags.push_back(gone.tag.name);
    std::ranges::sort(tags);
    std::string text = fmt::format("{} |", fmt::join(tags, " "));
    std::string letters;
    for (const auto& gone : doomed_.manifests) letters += gone.digest.back();
    std::ranges::sort(letters);
    return text + (letters.empty() ? "" : " ") + letters;
  }

  RepositoryState state_;
  Doomed doomed_;
};

TEST_F(RetentionTest, KeepsTheNewestTags) {
  for (int i = 0; i < 5; ++i) {
    const char letter = static_cast<char>('a' + i);
    manifest(letter, 10 + i);
    tag(fmt::format("v{}", i), letter, 10 + i);
  }
  EXPECT_EQ(judged({"ci/** keep=3"}), "v3 v4 | de");
  EXPECT_EQ(doomed_.tags.at(0).why, "not among the 3 newest");
  EXPECT_EQ(judged({"ci/** keep=3 older=14d"}), "v4 | e");
  EXPECT_EQ(judged({"ci/** older=12d"}), "v2 v3 v4 | cde");
  EXPECT_EQ(judged({"ci/** keep=0"}), "v0 v1 v2 v3 v4 | abcde");
  EXPECT_EQ(judged({"team/** keep=0"}), " |");
}

TEST_F(RetentionTest, TheFirstRuleForATagDecides) {
  manifest('a', 30);
  manifest('b', 30);
  tag("v1", 'a', 30);
  tag("pr-7", 'b', 30);
  EXPECT_EQ(judged({"ci/** tags=v* older=90d", "** older=7d"}), "pr-7 | b");
  EXPECT_EQ(judged({"ci/** tags=pr-* older=7d"}), "pr-7 | b");
}

TEST_F(RetentionTest, AManifestStaysWhileATagStandsForIt) {
  manifest('a', 30);
  tag("old", 'a', 30);
  tag("release", 'a', 30);
  EXPECT_EQ(judged({"ci/** tags=old older=7d"}), "old |");
}

TEST_F(RetentionTest, WhatWasPulledLatelyStays) {
  manifest('a', 100);
  manifest('b', 100);
  tag("used", 'a', 100);
  tag("idle", 'b', 100);
  state_.manifests[digest_of('a')].pulled = kNow - kDay;
  EXPECT_EQ(judged({"** unpulled=30d"}), "idle | b");
}

TEST_F(RetentionTest, AnIndexTakesItsManifestsAlongUnlessOthersNeedThem) {
  manifest('a', 40);
  manifest('b', 40);
  manifest('e', 40, "ab");
  manifest('f', 40, "b");
  tag("old", 'e', 40);
  tag("new", 'f', 40);
  EXPECT_EQ(judged({"** tags=old older=7d"}), "old | ae");
  const auto& gone = doomed_.manifests;
  EXPECT_EQ(gone.at(0).digest, digest_of('e')) << "the parent first";
  EXPECT_EQ(gone.at(1).why, "belonged to what went");
}

TEST_F(RetentionTest, SignaturesGoWithWhatTheySign) {
  manifest('a', 40);
  manifest('b', 40, "", 'a');
  manifest('c', 40, "", 'b');  // about the signature
  manifest('d', 40);
  tag("old", 'a', 40);
  tag("sha256-" + std::string(64, 'a') + ".sig", 'd', 40);
  EXPECT_EQ(judged({"** older=90d untagged=7d"}), " |");
  EXPECT_EQ(judged({"** older=7d"}), "old | abcd");
  // A signature is never a tag of its own: it does not count among the newest.
  EXPECT_EQ(judged({"** keep=1"}), " |");
}

TEST_F(RetentionTest, UntaggedManifestsGoByAgeAlone) {
  manifest('a', 3);
  manifest('b', 10);
  manifest('c', 10, "d");
  manifest('d', 10);
  manifest('e', 10, "", 'f');  // its subject was never here
  tag("v1", 'c', 10);
  EXPECT_EQ(judged({"** untagged=7d"}), " | be");
  EXPECT_EQ(judged({"** untagged=2d"}), " | abe");
}

TEST_F(RetentionTest, WhatJustCameStays) {
  manifest('a', 0);
  tag("v1", 'a', 0);
  EXPECT_EQ(judged({"** keep=0 untagged=1s"}), " |");
}

TEST_F(RetentionTest, ALongChainOfIndexesIsNoDeepRecursion) {
  constexpr int kLength = 200'000;
  const auto name = [](int i) { return fmt::format("sha256:{:064x}", i); };
  for (int i = 0; i < kLength; ++i) {
    auto& made = state_.manifests[name(i)];
    made.added = kNow - 9 * kDay;
    if (i + 1 < kLength) made.children.push_back(name(i + 1));
  }
  state_.tags.push_back({.name = "v1", .digest = name(0), .moved = kNow - 9 * kDay});
  judged({"** older=7d"});
  EXPECT_EQ(doomed_.manifests.size(), static_cast<std::size_t>(kLength));
}

TEST_F(RetentionTest, AWrongRuleIsNamed) {
  for (const char* text : {"", "ci/**", "ci/** tags=x", "ci/** keep=", "ci/** keep=-1",
                           "ci/** older=soon", "ci/** older=0s", "ci/** newest=3", "[ keep=1"}) {
    const auto rule = RetentionRule::parse(text);
    ASSERT_FALSE(rule) << text;
    EXPECT_EQ(rule.error().code(), Code::kInvalid);
    EXPECT_NE(rule.error().message().find(fmt::format("\"{}\"", text)), std::string::npos)
        << rule.error().message();
  }
}

}  // namespace
}  // namespace berth::depot
