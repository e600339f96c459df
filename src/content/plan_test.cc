#include "content/plan.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

#include "content/lanes.h"

namespace berth::content {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kUnit = 100;

class PlanTest : public testing::Test {
 protected:
  // The worker receives this much, and it is written.
  void arrive(Plan& plan, Plan::Worker worker, std::uint64_t offset, std::uint64_t bytes) {
    plan.moved(worker, offset + bytes, bytes, now);
    while (bytes > 0) {
      const std::uint64_t step = std::min(bytes, kUnit - offset % kUnit);
      const Plan::Run mine = plan.claim(offset, step);
      if (!mine.empty()) plan.landed(mine);
      offset += step;
      bytes -= step;
    }
  }
  rt::SteadyTime now = rt::SteadyTime(seconds(1000));
};

TEST_F(PlanTest, UnitsStayFewHoweverLargeTheBlob) {
  constexpr std::uint64_t kTebibyte = 1ull << 40;
  EXPECT_EQ(Plan::unit_bytes_for(100), 8u << 20);
  EXPECT_EQ(Plan::unit_bytes_for(2ull << 30), 16u << 20);
  EXPECT_LE(64 * kTebibyte / Plan::unit_bytes_for(64 * kTebibyte), 1u << 20);
}

TEST_F(PlanTest, ALoneWorkerGetsEverything) {
  Plan plan(1050, kUnit);
  EXPECT_EQ(plan.next(1, now), (Plan::Run{0, 1050}));
  arrive(plan, 1, 0, 1050);
  EXPECT_TRUE(plan.complete());
  EXPECT_EQ(plan.prefix(), 1050u);
  EXPECT_EQ(plan.next(1, now), std::nullopt);
}

TEST_F(PlanTest, WhatSomebodyWaitsForComesFirst) {
  Plan plan(1000, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  arrive(plan, 1, 0, 50);
  plan.prefer(150);  // its worker is there soon
  EXPECT_FALSE(plan.urgent());
  plan.prefer(720);
  EXPECT_TRUE(plan.urgent());
  EXPECT_EQ(plan.end_of(1), 700u);
  EXPECT_EQ(plan.next(2, now), (Plan::Run{700, 800}));
  EXPECT_FALSE(plan.urgent());
  arrive(plan, 2, 700, 100);
  EXPECT_EQ(plan.next(2, now), (Plan::Run{800, 1000}));
  arrive(plan, 2, 800, 200);
  arrive(plan, 1, 50, 650);
  EXPECT_TRUE(plan.complete());
}

TEST_F(PlanTest, NothingIsPreferredOfWhatIsHeldOrComesAsAWhole) {
  Plan plan(1000, kUnit);
  plan.hold(9, 100);
  ASSERT_TRUE(plan.next(1, now));
  plan.prefer(950);
  plan.prefer(1000);
  EXPECT_FALSE(plan.urgent());
  plan.prefer(500);
  plan.take_all(1);
  plan.prefer(600);
  EXPECT_FALSE(plan.urgent());
  EXPECT_EQ(plan.end_of(1), 1000u);
}

TEST_F(PlanTest, AnEmptyBlobIsComplete) {
  Plan plan(0, kUnit);
  EXPECT_TRUE(plan.complete());
  EXPECT_EQ(plan.prefix(), 0u);
  EXPECT_EQ(plan.next(1, now), std::nullopt);
}

TEST_F(PlanTest, ASecondWorkerTakesWhatTheFirstDoesNotComeToSoon) {
  Plan plan(1000, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  arrive(plan, 1, 0, 150);
  const auto second = plan.next(2, now).value();
  EXPECT_GT(second.begin, 150u);
  EXPECT_EQ(second.begin % kUnit, 0u);
  EXPECT_EQ(plan.end_of(1), second.begin);
}

TEST_F(PlanTest, TheUnitThatAWorkerIsInIsNotTaken) {
  Plan plan(200, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  arrive(plan, 1, 0, 120);
  EXPECT_EQ(plan.next(2, now), std::nullopt);
  EXPECT_EQ(plan.end_of(1), 200u);
}

TEST_F(PlanTest, AReleasedRunIsGivenAgainFromWhereItStopped) {
  Plan plan(300, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  arrive(plan, 1, 0, 130);
  plan.release(1);
  EXPECT_EQ(plan.next(2, now), (Plan::Run{130, 300}));
}

TEST_F(PlanTest, WhatWasHeldIsNotFetched) {
  Plan plan(400, kUnit);
  plan.hold(0, 100);
  plan.hold(1, 30);
  plan.hold(3, 50);
  EXPECT_EQ(plan.held(), 180u);
  EXPECT_EQ(plan.prefix(), 130u);
  // A run is one stretch: unit 3 was begun and is a run of its own.
  EXPECT_EQ(plan.next(1, now), (Plan::Run{130, 300}));
  arrive(plan, 1, 130, 170);
  EXPECT_EQ(plan.next(1, now), (Plan::Run{350, 400}));
}

TEST_F(PlanTest, AServerWithoutRangesGivesEverythingToOne) {
  Plan plan(300, kUnit);
  plan.hold(0, 100);
  ASSERT_TRUE(plan.next(1, now));
  plan.take_all(1);
  EXPECT_EQ(plan.end_of(1), 300u);
  EXPECT_TRUE(plan.claim(0, 100).empty());
  EXPECT_EQ(plan.claim(100, 100), (Plan::Run{100, 200}));
}

TEST_F(PlanTest, NoByteIsGivenOutTwice) {
  Plan plan(100, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  ASSERT_EQ(plan.next(2, now), std::nullopt);
  ASSERT_EQ(plan.beside(2, now), (Plan::Run{0, 100}));
  EXPECT_EQ(plan.claim(0, 40), (Plan::Run{0, 40}));
  EXPECT_TRUE(plan.busy(0));
  plan.landed({0, 40});
  EXPECT_FALSE(plan.busy(0));
  EXPECT_EQ(plan.claim(0, 60), (Plan::Run{40, 60}));
  plan.landed({40, 60});
  EXPECT_TRUE(plan.claim(20, 30).empty());
}

TEST_F(PlanTest, WhoStandsStillWhileOthersMoveIsLeft) {
  Plan plan(10'000, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  const auto run = plan.next(2, now).value();
  std::uint64_t at = run.begin;
  for (int i = 0; i < 24; ++i) {
    now += milliseconds(250);
    arrive(plan, 2, at, 10);
    at += 10;
    if (i == 4) EXPECT_TRUE(plan.laggards(now).empty());
  }
  EXPECT_EQ(plan.laggards(now), (std::vector<Plan::Worker>{1}));
}

TEST_F(PlanTest, WhoCrawlsIsLeftAndASlowUserIsNot) {
  Plan plan(100'000, kUnit);
  std::vector<std::uint64_t> at;
  for (Plan::Worker worker = 0; worker < 4; ++worker) at.push_back(plan.next(worker, now)->begin);
  auto pass = [&](std::uint64_t slow_bytes) {
    for (int i = 0; i < 20; ++i) {
      now += milliseconds(250);
      for (Plan::Worker worker = 0; worker < 4; ++worker) {
        const std::uint64_t bytes = worker == 3 ? slow_bytes : 100;
        arrive(plan, worker, at[worker], bytes);
        at[worker] += bytes;
      }
    }
  };
  pass(20);
  EXPECT_TRUE(plan.laggards(now).empty());
  pass(5);
  EXPECT_EQ(plan.laggards(now), (std::vector<Plan::Worker>{3}));
}

TEST_F(PlanTest, ALoneSlowWorkerIsNoticed) {
  Plan plan(10'000, kUnit);
  ASSERT_TRUE(plan.next(1, now));
  now += seconds(4);
  arrive(plan, 1, 0, 10);
  EXPECT_TRUE(plan.lone_and_slow(1000, now));
  EXPECT_FALSE(plan.lone_and_slow(10, now));
  EXPECT_FALSE(plan.lone_and_slow(0, now));  // nothing is known of the host
}

// Any order of arrivals, failures and new workers: every byte exactly once.
TEST_F(PlanTest, RandomWorkersFillEveryBlob) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::minstd_rand random(seed);
    const std::uint64_t size = random() % 3000;
    Plan plan(size, kUnit);
    std::vector<int> times(size, 0);
    std::map<Plan::Worker, std::uint64_t> at;
    Plan::Worker next_id = 0;
    for (int steps = 0; !plan.complete(); ++steps) {
      ASSERT_LT(steps, 100'000);
      now += milliseconds(random() % 300);
      if (at.empty() || (at.size() < 8 && random() % 4 == 0)) {
        const Plan::Worker id = next_id++;
        if (const auto run = plan.next(id, now)) at[id] = run->begin;
        continue;
      }
      auto chosen = at.begin();
      std::advance(chosen, static_cast<std::ptrdiff_t>(random() % at.size()));
      auto& [id, offset] = *chosen;
      if (random() % 20 == 0) {
        plan.release(id);
        at.erase(chosen);
        continue;
      }
      const std::uint64_t most = std::min(kUnit - offset % kUnit, plan.end_of(id) - offset);
      if (most == 0) {
        const auto run = plan.next(id, now);
        run ? void(offset = run->begin) : void(at.erase(chosen));
        continue;
      }
      const std::uint64_t bytes = 1 + random() % most;
      const Plan::Run mine = plan.claim(offset, bytes);
      for (std::uint64_t i = mine.begin; i < mine.end; ++i) ++times[i];
      if (!mine.empty()) plan.landed(mine);
      offset += bytes;
      plan.moved(id, offset, bytes, now);
    }
    EXPECT_EQ(std::ranges::count(times, 1), static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(plan.prefix(), size);
  }
}

class LanesTest : public testing::Test {
 protected:
  // A link that gives each connection `each` and all together `all` bytes a second.
  void pass(seconds time, double each, double all) {
    for (const auto end = now + time; now < end;) {
      now += milliseconds(50);
      while (lanes.try_take()) {
      }
      while (lanes.too_many()) lanes.give_back();
      const double rate = std::min(all, each * static_cast<double>(lanes.open()));
      lanes.moved(static_cast<std::uint64_t>(rate / 20), now);
    }
  }
  Lanes lanes{16};
  rt::SteadyTime now = rt::SteadyTime(seconds(1000));
};

TEST_F(LanesTest, GrowsWhileTheGoodputGrows) {
  lanes.take();
  pass(seconds(3), 25e6, 1e12);
  EXPECT_EQ(lanes.open(), 16u);
  EXPECT_NEAR(lanes.best(), 25e6, 5e6);
}

TEST_F(LanesTest, StaysAtOneWhereOneIsEnough) {
  lanes.take();
  pass(seconds(3), 25e6, 25e6);
  EXPECT_EQ(lanes.open(), 1u);
}

TEST_F(LanesTest, DoesNotTryWhereTheNetworkIsNotTheLimit) {
  lanes.take();
  pass(seconds(3), 1e9, 1e12);
  EXPECT_EQ(lanes.open(), 1u);
}

TEST_F(LanesTest, FindsTheMiddle) {
  lanes.take();
  pass(seconds(4), 25e6, 100e6);
  EXPECT_EQ(lanes.open(), 4u);
}

TEST_F(LanesTest, TriesAgainLater) {
  lanes.take();
  pass(seconds(3), 25e6, 25e6);
  EXPECT_EQ(lanes.open(), 1u);
  pass(seconds(12), 25e6, 1e12);
  EXPECT_EQ(lanes.open(), 16u);
}

TEST_F(LanesTest, AFailureMakesThemFewer) {
  lanes.take();
  pass(seconds(3), 25e6, 1e12);
  lanes.failed(now);
  EXPECT_LT(lanes.wanted(), 16u);
}

}  // namespace
}  // namespace berth::content
