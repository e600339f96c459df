#include "registryd/limits.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::registryd {
namespace {

using namespace std::chrono_literals;

constexpr rt::SteadyTime kStart{1000h};

int taken(Limits& limits, const std::string& client, rt::SteadyTime now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += limits.take_request(client, now) ? 1 : 0;
  return count;
}

TEST(Limits, ARateWithABurst) {
  struct Step {
    std::chrono::milliseconds after;
    int tries;
    int taken;
  };
  constexpr Step kSteps[] = {
      {0ms, 30, 20},        // the burst: ten seconds of two a second
      {0ms, 5, 0},          //
      {500ms, 5, 1},        // one came in
      {1000ms, 5, 1},       //
      {11'000ms, 100, 20},  // never more than the burst
      {3'600'000ms, 100, 20},
  };
  Limits limits({.requests = 2});
  for (const Step& step : kSteps)
    EXPECT_EQ(taken(limits, "alice", kStart + step.after, step.tries), step.taken)
        << step.after.count();
  EXPECT_EQ(taken(limits, "bob", kStart, 30), 20) << "another client has its own";
}

TEST(Limits, ARefusalSaysWhenToComeBack) {
  Limits limits({.requests = 2});
  taken(limits, "192.0.2.1", kStart, 20);
  const Status refused = limits.take_request("192.0.2.1", kStart);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRateLimited);
  EXPECT_EQ(refused.error().retry_after(), 1s);
  EXPECT_FALSE(limits.check_requests("192.0.2.1", kStart));
  EXPECT_TRUE(limits.take_request("192.0.2.1", kStart + 1s));
}

TEST(Limits, WhatCannotBeSentAgainMayTakeOneBurstInAdvance) {
  Limits limits({.requests = 2});
  const auto hard = [&] {
    int count = 0;
    while (limits.take_request("a", kStart, Limits::Repeat::kHard) && count < 1000) ++count;
    return count;
  };
  EXPECT_EQ(taken(limits, "a", kStart, 100), 20);
  EXPECT_EQ(hard(), 20);
  EXPECT_EQ(limits.take_request("a", kStart).error().retry_after(), 11s) << "the debt first";
  EXPECT_EQ(taken(limits, "a", kStart + 10s, 5), 0);
  EXPECT_EQ(taken(limits, "a", kStart + 11s, 5), 2);
}

TEST(Limits, WithoutALimitNothingIsRemembered) {
  Limits limits({});
  EXPECT_EQ(taken(limits, "a", kStart, 1000), 1000);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(limits.check_uploads("a", kStart));
    limits.upload_began("a", fmt::format("{}", i), kStart);
  }
  EXPECT_EQ(limits.clients(), 0u);
  EXPECT_EQ(limits.uploads(), 0u);
}

TEST(Limits, UploadsCountUntilTheyEndOrNobodyGoesOnWithThem) {
  Limits limits({.uploads = 2});
  limits.upload_began("alice", "a", kStart);
  limits.upload_began("alice", "b", kStart);
  const Status refused = limits.check_uploads("alice", kStart);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRateLimited);
  EXPECT_TRUE(refused.error().retry_after());
  EXPECT_TRUE(limits.check_uploads("bob", kStart));
  limits.upload_ended("b");
  limits.upload_ended("b");
  EXPECT_TRUE(limits.check_uploads("alice", kStart));
  limits.upload_began("alice", "c", kStart);
  // Somebody goes on with one of them; the other is forgotten.
  limits.upload_goes_on("a", kStart + 9min);
  limits.upload_goes_on("never begun", kStart + 9min);
  EXPECT_FALSE(limits.check_uploads("alice", kStart + 9min));
  EXPECT_TRUE(limits.check_uploads("alice", kStart + 10min));
  EXPECT_EQ(limits.uploads(), 1u);
  limits.upload_ended("a");
  EXPECT_EQ(limits.uploads(), 0u);
}

TEST(Limits, TheTableIsBoundedAndForgetsTheOldest) {
  Limits limits({.requests = 1, .uploads = 1});
  limits.upload_began("client 0", "x", kStart);
  for (std::size_t i = 0; i < Limits::kClients; ++i) {
    const std::string name = fmt::format("client {}", i);
    ASSERT_EQ(taken(limits, name, kStart, 20), 10) << name;
  }
  EXPECT_EQ(limits.clients(), Limits::kClients);
  EXPECT_EQ(limits.uploads(), 1u);
  EXPECT_EQ(taken(limits, "one more", kStart, 20), 10);
  EXPECT_EQ(limits.clients(), Limits::kClients);
  EXPECT_EQ(limits.uploads(), 0u) << "with the client that was forgotten";
  EXPECT_FALSE(limits.take_request("client 1", kStart));
}

}  // namespace
}  // namespace berth::registryd
