#include "http/pace.h"

#include <gtest/gtest.h>

namespace berth::http {
namespace {

using namespace std::chrono_literals;

TEST(Pace, ByDefaultAsksForNothing) {
  Pace pace;
  pace.waited(24h);
  EXPECT_EQ(pace.allows(60s), 60s);
}

TEST(Pace, AByteBeforeEachStallIsNotEnough) {
  Pace pace(1024, 60s);
  EXPECT_EQ(pace.allows(60s), 60s);
  pace.waited(59s);
  pace.moved(1);
  EXPECT_LE(pace.allows(60s), 1001ms);
  pace.waited(1001ms);
  pace.moved(1);
  EXPECT_LE(pace.allows(60s), 1ms);
}

TEST(Pace, WhoeverKeepsTheRateGoesOnForEver) {
  Pace pace(1024, 60s);
  for (int i = 0; i < 10'000; ++i) {
    pace.waited(30s);
    pace.moved(30 * 1024);
    ASSERT_GE(pace.allows(60s), 59s);
  }
}

TEST(Pace, WhatWasFastOnceMayNotBeSlowForLongLater) {
  Pace pace(1024, 60s);
  pace.moved(std::size_t{1} << 40);
  pace.waited(59s);
  EXPECT_EQ(pace.allows(60s), 1s);
  pace.waited(24h);
  EXPECT_EQ(pace.allows(60s), 0s);
  pace.moved(SIZE_MAX);
  EXPECT_EQ(pace.allows(60s), 60s);
}

}  // namespace
}  // namespace berth::http
