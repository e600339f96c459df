#include "webhook/courier.h"

#include <gtest/gtest.h>

#include "depot/depot_fixture.h"
#include "json/json.h"

namespace berth::webhook {
namespace {

using depot::Event;
using namespace std::chrono_literals;

Event event(Event::Kind kind) {
  return {.id = 7,
          .at = std::chrono::sys_time<std::chrono::milliseconds>(1'764'000'000'123ms),
          .kind = kind,
          .repository = "team/llama",
          .tag = "v1",
          .digest = "sha256:aa",
          .before = "sha256:bb",
          .media_type = "application/vnd.oci.image.manifest.v1+json",
          .size = 512,
          .origin = {.actor = "alice",
                     .peer = "10.0.0.9",
                     .address = "https://models.example",
                     .method = "PUT",
                     .user_agent = "berth/1",
                     .request = "ab-1"}};
}

TEST(Message, ACloudEvent) {
  const Message message = cloud_event(event(Event::Kind::kMove), "abc");
  EXPECT_EQ(message.content_type, "application/cloudevents+json; charset=utf-8");
  EXPECT_EQ(message.id, "abc-7");
  EXPECT_EQ(
      message.body,
      R"({"specversion":"1.0","id":"abc-7","source":"https://models.example",)"
      R"("type":"berth.registry.tag.moved","subject":"team/llama:v1",)"
      R"("time":"2025-11-24T16:00:00.123Z","datacontenttype":"application/json",)"
      R"("data":{"repository":"team/llama","tag":"v1","digest":"sha256:aa",)"
      R"("previousDigest":"sha256:bb","mediaType":"application/vnd.oci.image.manifest.v1+json",)"
      R"("size":512,"actor":"alice","request":{"id":"ab-1","address":"10.0.0.9",)"
      R"("host":"models.example","method":"PUT","userAgent":"berth/1"}}})");
}

TEST(Message, ANotificationAsDistributionSendsThem) {
  const std::vector<depot::Delivery> due{{.event = event(Event::Kind::kPush)},
                                         {.event = event(Event::Kind::kMove)}};
  const auto message = distribution_envelope(due, "abc");
  ASSERT_TRUE(message);
  EXPECT_EQ(message->content_type, "application/vnd.docker.distribution.events.v1+json");
  EXPECT_EQ(message->body,
            R"({"events":[{"id":"abc-7","timestamp":"2025-11-24T16:00:00.123Z","action":"push",)"
            R"("target":{"repository":"team/llama",)"
            R"("mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:aa",)"
            R"("tag":"v1","size":512,"length":512,)"
            R"("url":"https://models.example/v2/team/llama/manifests/sha256:aa"},)"
            R"("request":{"id":"ab-1","addr":"10.0.0.9","host":"models.example","method":"PUT",)"
            R"("useragent":"berth/1"},"actor":{"name":"alice"},)"
            R"("source":{"addr":"models.example","instanceID":"abc"}}]})");
  const std::vector<depot::Delivery> moves{{.event = event(Event::Kind::kMove)}};
  EXPECT_FALSE(distribution_envelope(moves, "abc"));
}

// The example of the Standard Webhooks specification.
TEST(Message, TheSignatureOfTheSpecification) {
  const Message message{.id = "msg_p5jXN8AQM9LWM0D4loKWxJek", .body = R"({"test": 2432232314})"};
  EXPECT_EQ(signature(message, 1614265330, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  EXPECT_NE(signature(message, 1614265330, "another"), signature(message, 1614265331, "another"));
}

// An endpoint with a state: how it answers, and what it got.
struct FakeEndpoint {
  int refuse = 0;  // so many requests, with 503
  std::vector<std::string> got;
  std::vector<http::Headers> headers;

  rt::Task<Result<http::Response>> take(rt::Op&, http::Request request) {
    headers.push_back(request.headers);
    if (refuse > 0) {
      --refuse;
      co_return http::reply(503, "text/plain", "away");
    }
    got.push_back(std::get<std::string>(request.body.content));
    co_return http::reply(204, "text/plain", "");
  }
};

class CourierTest : public depot::DepotTest {
 protected:
  void SetUp() override {
    open({.disk_reserve = 0},
         {.subscriptions = {
              {.endpoint = "ci", .kinds = {Event::Kind::kPush, Event::Kind::kDelete}}}});
  }
  // Runs a courier until the endpoint's queue is empty, or what it says to wait for.
  void deliver(Endpoint endpoint = {}, std::size_t dead = 0) {
    endpoint.name = "ci";
    endpoint.url = http::parse_url("http://127.0.0.1:9/hook").value();
    Courier courier(
        *loop_, seam().events,
        [this](rt::Op& op, http::Request request) { return fake_.take(op, std::move(request)); },
        {endpoint}, "abc", metrics_, {.first = 1ms, .longest = 4ms});
    courier.start();
    run(until_told(*this, dead));
    EXPECT_TRUE(run(courier.close()));
  }
  static rt::Task<Status> until_told(CourierTest& test, std::size_t dead) {
    for (;;) {
      CO_TRY(const auto backlog, co_await test.seam().events.backlog(test.op_));
      if (backlog.at(0).waiting == 0 && backlog.at(0).dead == dead) co_return Status();
    }
  }
  std::vector<std::string> tags() const {
    std::vector<std::string> tags;
    for (const std::string& body : fake_.got) {
      const auto value = json::parse(body, "a body").value();
      tags.emplace_back(value.at("data").at("tag").as_string());
    }
    return tags;
  }

  FakeEndpoint fake_;
  metrics::Registry metrics_;
};

TEST_F(CourierTest, TellsEverythingInOrder) {
  for (const char* tag : {"v1", "v2", "v3"}) put("a", manifest({tag}, {tag}));
  deliver();
  EXPECT_EQ(tags(), (std::vector<std::string>{"v1", "v2", "v3"}));
  EXPECT_NE(metrics_.text().find("outcome=\"delivered\"} 3"), std::string::npos);
}

TEST_F(CourierTest, AnEndpointThatWasAwayGetsThemAllTheSame) {
  for (const char* tag : {"v1", "v2"}) put("a", manifest({tag}, {tag}));
  fake_.refuse = 6;
  deliver();
  EXPECT_EQ(tags(), (std::vector<std::string>{"v1", "v2"}));
  EXPECT_EQ(fake_.headers.size(), 8u);
}

TEST_F(CourierTest, AfterItsAttemptsAnEventIsADeadLetterAndTheNextOneGoes) {
  for (const char* tag : {"v1", "v2"}) put("a", manifest({tag}, {tag}));
  fake_.refuse = 3;
  deliver({.attempts = 3}, 1);
  EXPECT_EQ(tags(), std::vector<std::string>{"v2"});
  const auto dead = run(seam().events.dead_letters(op_, 0, 10)).value();
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_EQ(dead[0].event.tag, "v1");
  EXPECT_EQ(dead[0].fault, "127.0.0.1:9 answered HTTP 503");
  run(seam().events.revive(op_, "ci")).value();
  deliver();
  EXPECT_EQ(tags(), (std::vector<std::string>{"v2", "v1"}));
}

TEST_F(CourierTest, ManyGoInOneEnvelopeOfDistribution) {
  for (int i = 0; i < 60; ++i) put("a", manifest({fmt::format("m{}", i)}, {fmt::format("v{}", i)}));
  deliver({.format = Format::kDistribution});
  ASSERT_EQ(fake_.got.size(), 2u);
  EXPECT_EQ(json::parse(fake_.got[0], "a body")->at("events").as_array().size(), 50u);
  EXPECT_EQ(json::parse(fake_.got[1], "a body")->at("events").as_array().size(), 10u);
}

TEST_F(CourierTest, WhatTheEndpointIsToSeeIsInTheRequest) {
  put("a", manifest({"x"}, {"v1"}));
  Endpoint endpoint{.secret = Secret("hush")};
  endpoint.headers.emplace_back("Authorization", Secret("Bearer x"));
  deliver(std::move(endpoint));
  const http::Headers& headers = fake_.headers.at(0);
  EXPECT_EQ(headers.get("Authorization"), "Bearer x");
  EXPECT_EQ(headers.get("webhook-id"), "abc-1");
  const auto sent = parse_i64(headers.get("webhook-timestamp").value_or(""));
  ASSERT_TRUE(sent);
  EXPECT_EQ(headers.get("webhook-signature"),
            signature({.id = "abc-1", .body = fake_.got.at(0)}, *sent, "hush"));
}

}  // namespace
}  // namespace berth::webhook
