#include "http/connection.h"

#include <gtest/gtest.h>

#include "http/imposter.h"
#include "http/testing.h"

namespace berth::http {
namespace {

class DirectClientTest : public testing::Test {
 protected:
  Result<Fetched> ask(std::string_view path, std::string method = "GET", Body body = {}) {
    return fetch_now(loop_, client_,
                     request_to(*parse_url(path), std::move(method), std::move(body)));
  }

  rt::Loop loop_;
  Imposter imposter_{loop_};
  DirectClient client_{loop_, TcpEndpoint{"127.0.0.1", imposter_.port()}};
};

// llama-server: a streamed answer that looks like keep-alive, after which the connection is closed.
TEST_F(DirectClientTest, SurvivesAPeerThatClosesUnannounced) {
  imposter_.when("POST", "/stream")
      .raw(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: "
          "timeout=5\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  imposter_.when("POST", "/plain").reply(200, "plain");
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(ask("/stream", "POST", "{}")->body, "abc");
    const auto plain = ask("/plain", "POST", "{}");
    ASSERT_TRUE(plain) << i << " " << plain.error().message();
    EXPECT_EQ(plain->body, "plain");
  }
}

// A peer that takes a second request on a connection and closes without a byte: once more on a
// fresh one, not for ever.
TEST_F(DirectClientTest, RetriesOnceOnAFreshConnection) {
  imposter_.when("GET", "/x").reply(200, "one").raw("").reply(200, "two").raw("");
  EXPECT_EQ(ask("/x")->body, "one");
  EXPECT_EQ(ask("/x")->body, "two");
  EXPECT_EQ(imposter_.connections_made(), 2u);
  EXPECT_EQ(imposter_.requests().size(), 3u);
  const auto third = ask("/x");
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code(), Code::kUnavailable);
  EXPECT_EQ(imposter_.requests().size(), 5u);
}

TEST_F(DirectClientTest, DoesNotRetryWhatWasAnswered) {
  imposter_.when("GET", "/x").reply(200, "one").raw("HTTP/1.1 2").reply(200, "two");
  EXPECT_EQ(ask("/x")->body, "one");
  EXPECT_FALSE(ask("/x"));
  EXPECT_EQ(imposter_.requests().size(), 2u);
}

TEST_F(DirectClientTest, KeepsNoConnectionWithStrayBytes) {
  imposter_.when("GET", "/x")
      .raw(
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: "
          "4\r\n\r\nevil");
  imposter_.when("GET", "/y").reply(200, "y");
  EXPECT_EQ(ask("/x")->body, "x");
  EXPECT_EQ(ask("/y")->body, "y");
}

TEST_F(DirectClientTest, CloseIdleCloses) {
  imposter_.when("GET", "/x").reply(200, "x");
  EXPECT_TRUE(ask("/x"));
  client_.close_idle();
  EXPECT_TRUE(ask("/x"));
  EXPECT_EQ(imposter_.connections_made(), 2u);
}

TEST_F(DirectClientTest, NamesTheEndpointInFailures) {
  DirectClient nowhere(loop_, UnixEndpoint{"/nonexistent/berth.sock"});
  const auto got = fetch_now(loop_, nowhere, request_to(*parse_url("/x")));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kUnavailable);
  EXPECT_NE(got.error().message().find("/nonexistent/berth.sock"), std::string::npos);
  DirectClient too_long(loop_, UnixEndpoint{std::string(200, 'x')});
  EXPECT_EQ(fetch_now(loop_, too_long, request_to(*parse_url("/x"))).error().code(),
            Code::kInvalid);
}

}  // namespace
}  // namespace berth::http
