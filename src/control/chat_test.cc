#include "control/chat.h"

#include <gtest/gtest.h>

namespace berth::control {
namespace {

using std::chrono::milliseconds;

struct NotedSink : ChatSink {
  void on_content(std::string_view text) override { content += text; }
  void on_reasoning(std::string_view text) override { reasoning += text; }
  void on_status(std::string_view) override {}
  std::string content;
  std::string reasoning;
};

class Follower : public testing::Test {
 protected:
  // Asked a while ago, so that no time is 0.
  ChatStats stats;
  NotedSink sink;
  ChatFollower follower{stats, sink, ChatFollower::Clock::now() - milliseconds(50)};
};

TEST_F(Follower, GathersTextAndNumbers) {
  EXPECT_TRUE(follower.take(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})").value());
  EXPECT_TRUE(follower.take(R"({"choices":[{"delta":{"content":"Par"}}]})").value());
  EXPECT_TRUE(follower.take(R"({"choices":[{"delta":{"content":"is"}}]})").value());
  EXPECT_TRUE(follower.take(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})").value());
  EXPECT_TRUE(
      follower.take(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}})").value());
  EXPECT_FALSE(follower.take("[DONE]").value());
  ASSERT_TRUE(follower.end());
  EXPECT_EQ(sink.content, "Paris");
  EXPECT_EQ(sink.reasoning, "hm");
  EXPECT_EQ(stats.completion_tokens, 3u);
  EXPECT_GE(stats.first_token, milliseconds(50));
  EXPECT_EQ(stats.finish_reason, "stop");
}

TEST_F(Follower, AnAnswerThatOnlyEndsHadItsFirstTokenThen) {
  EXPECT_TRUE(follower.take(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})").value());
  ASSERT_TRUE(follower.end());
  EXPECT_EQ(sink.content, "");
  EXPECT_GE(stats.first_token, milliseconds(50));
}

TEST_F(Follower, AnAnswerThatBreaksOffIsAFailure) {
  EXPECT_TRUE(follower.take(R"({"choices":[{"delta":{"content":"Par"}}]})").value());
  EXPECT_EQ(follower.end().error().code(), Code::kUnavailable);
  EXPECT_EQ(follower.take(R"({"error":{"message":"gone"}})").error().code(), Code::kUnavailable);
  EXPECT_EQ(follower.take("no json").error().code(), Code::kInvalid);
}

TEST(ChatBody, SaysNumbersPlainly) {
  ChatRequest request{.model = "m"};
  request.options.temperature = 0.0;
  request.options.top_p = 0.9;
  const std::string body = chat_body(request).value();
  EXPECT_NE(body.find(R"("temperature":0,"top_p":0.9)"), std::string::npos) << body;
}

}  // namespace
}  // namespace berth::control
