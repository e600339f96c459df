#include "schedule/schedule.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

namespace berth::schedule {
namespace {

// Records what was decided as words: "start a", "grant 1", …
struct Recorder : Effects {
  void start(const Key& key) override { log.push_back("start " + key); }
  void stop(const Key& key) override { log.push_back("stop " + key); }
  void grant(Waiter waiter, const Key&) override { log.push_back(fmt::format("grant {}", waiter)); }
  void refuse(Waiter waiter, Error error) override {
    log.push_back(fmt::format("refuse {} {}", waiter, to_string(error.code())));
    errors.push_back(error);
  }
  void arm_timer(std::optional<Moment> at) override { timer = at; }

  std::vector<std::string> take() { return std::exchange(log, {}); }

  std::vector<std::string> log;
  std::vector<Error> errors;
  std::optional<Moment> timer;
};

using Words = std::vector<std::string>;

constexpr Moment at(int seconds) { return std::chrono::seconds(seconds); }

class Schedule : public testing::Test {
 protected:
  Request ask(Waiter waiter, const Key& key, std::uint64_t need = 10) {
    return {.waiter = waiter, .key = key, .name = key, .need = need};
  }
  // A loaded, idle model.
  void load(Moment now, const Key& key, std::uint64_t need = 10) {
    const Waiter waiter = next++;
    scheduler.request(now, ask(waiter, key, need));
    scheduler.loaded(now, key);
    scheduler.done(now, waiter);
    effects.take();
  }
  Words take() { return effects.take(); }

  Recorder effects;
  Rules rules{.capacity = 100, .max_waiting = 4};
  Scheduler scheduler{rules, effects};
  Waiter next = 1000;
};

TEST_F(Schedule, ARequestStartsAndIsGrantedWhenLoaded) {
  scheduler.request(at(0), ask(1, "a"));
  EXPECT_EQ(take(), Words({"start a"}));
  scheduler.loaded(at(1), "a");
  EXPECT_EQ(take(), Words({"grant 1"}));
  EXPECT_EQ(scheduler.models()[0].in_use, 1u);
}

TEST_F(Schedule, OneLoadServesAllWhoWait) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.request(at(0), ask(2, "a"));
  scheduler.request(at(0), ask(3, "a"));
  EXPECT_EQ(take(), Words({"start a"}));
  scheduler.loaded(at(1), "a");
  EXPECT_EQ(take(), Words({"grant 1", "grant 2", "grant 3"}));
}

TEST_F(Schedule, AWaiterThatLeavesDoesNotCancelTheOthers) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.request(at(0), ask(2, "a"));
  scheduler.cancel(at(0), 1);
  scheduler.loaded(at(1), "a");
  EXPECT_EQ(take(), Words({"start a", "grant 2"}));
}

TEST_F(Schedule, ALoadGoesOnWhenAllHaveLeft) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.cancel(at(0), 1);
  scheduler.loaded(at(1), "a");
  EXPECT_EQ(take(), Words({"start a"}));
  EXPECT_EQ(effects.timer, at(1) + rules.keep_alive);
}

TEST_F(Schedule, CancellingAGrantIsTheSameAsBeingDone) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.loaded(at(0), "a");
  scheduler.cancel(at(0), 1);
  EXPECT_EQ(scheduler.models()[0].in_use, 0u);
}

TEST_F(Schedule, IdleEnginesAreStoppedAfterTheirTime) {
  load(at(0), "a");
  EXPECT_EQ(effects.timer, at(300));
  scheduler.timer(at(299));
  EXPECT_EQ(take(), Words());
  scheduler.timer(at(300));
  EXPECT_EQ(take(), Words({"stop a"}));
  EXPECT_EQ(scheduler.promised(), 10u);  // until it is gone
  scheduler.stopped(at(301), "a");
  EXPECT_EQ(scheduler.promised(), 0u);
  EXPECT_EQ(effects.timer, std::nullopt);
}

TEST_F(Schedule, UseStartsTheIdleTimeAnew) {
  load(at(0), "a");
  scheduler.request(at(200), ask(1, "a"));
  EXPECT_EQ(effects.timer, std::nullopt);  // in use: no end in sight
  scheduler.done(at(250), 1);
  EXPECT_EQ(effects.timer, at(550));
}

TEST_F(Schedule, KeepAliveZeroUnloadsAtOnceAndNegativeNever) {
  Request once = ask(1, "a");
  once.keep_alive = Moment(0);
  scheduler.request(at(0), once);
  scheduler.loaded(at(0), "a");
  take();
  scheduler.done(at(1), 1);
  EXPECT_EQ(take(), Words({"stop a"}));

  Request for_ever = ask(2, "b");
  for_ever.keep_alive = Moment(-1);
  scheduler.request(at(0), for_ever);
  scheduler.loaded(at(0), "b");
  scheduler.done(at(1), 2);
  scheduler.timer(at(1'000'000));
  EXPECT_EQ(take(), Words({"start b", "grant 2"}));
  EXPECT_EQ(effects.timer, std::nullopt);
}

TEST_F(Schedule, AnAbsurdKeepAliveIsForEver) {
  Request request = ask(1, "a");
  request.keep_alive = Moment::max();
  scheduler.request(at(0), request);
  scheduler.loaded(at(0), "a");
  scheduler.done(at(1), 1);
  EXPECT_EQ(effects.timer, std::nullopt);
}

TEST_F(Schedule, SeveralRunAsMemoryAllows) {
  load(at(0), "a", 40);
  load(at(1), "b", 40);
  scheduler.request(at(2), ask(1, "c", 20));
  EXPECT_EQ(take(), Words({"start c"}));
  EXPECT_EQ(scheduler.promised(), 100u);
}

TEST_F(Schedule, WhatCanNeverFitIsRefusedWithTheNumbers) {
  scheduler.request(at(0), ask(1, "huge", 2'000'000'000));
  EXPECT_EQ(take(), Words({"refuse 1 exhausted"}));
  EXPECT_NE(effects.errors[0].message().find("2.0"), std::string::npos)
      << effects.errors[0].message();
  EXPECT_NE(effects.errors[0].message().find("100 B"), std::string::npos)
      << effects.errors[0].message();
}

TEST_F(Schedule, TheLeastRecentlyUsedIdleEngineMakesRoom) {
  load(at(0), "a", 40);
  load(at(1), "b", 40);
  scheduler.request(at(2), ask(1, "c", 40));
  EXPECT_EQ(take(), Words({"stop a"}));
  scheduler.stopped(at(3), "a");
  EXPECT_EQ(take(), Words({"start c"}));
}

TEST_F(Schedule, NoMoreAreStoppedThanNeeded) {
  load(at(0), "small", 10);
  load(at(1), "big", 80);
  scheduler.request(at(2), ask(1, "c", 90));
  EXPECT_EQ(take(), Words({"stop big"}));  // with it gone the small one may stay
}

TEST_F(Schedule, TheSecondRequestDoesNotStopEvenMore) {
  load(at(0), "a", 50);
  load(at(1), "b", 50);
  scheduler.request(at(2), ask(1, "c", 50));
  scheduler.request(at(2), ask(2, "c", 50));
  EXPECT_EQ(take(), Words({"stop a"}));
  scheduler.stopped(at(3), "a");
  EXPECT_EQ(take(), Words({"start c"}));
  scheduler.loaded(at(4), "c");
  EXPECT_EQ(take(), Words({"grant 1", "grant 2"}));
}

TEST_F(Schedule, BusyEnginesAreNeverStopped) {
  scheduler.request(at(0), ask(1, "a", 80));
  scheduler.loaded(at(0), "a");
  take();
  scheduler.request(at(1), ask(2, "b", 80));
  EXPECT_FALSE(scheduler.unload(at(1), "a"));
  EXPECT_EQ(scheduler.unload_idle(at(1)), 0u);
  EXPECT_EQ(take(), Words());
  scheduler.done(at(2), 1);
  EXPECT_EQ(take(), Words({"stop a"}));
  scheduler.stopped(at(3), "a");
  EXPECT_EQ(take(), Words({"start b"}));
}

TEST_F(Schedule, IdleOnesStayWhenStoppingThemWouldNotHelp) {
  load(at(0), "idle", 10);
  scheduler.request(at(1), ask(1, "busy", 80));
  scheduler.loaded(at(1), "busy");
  take();
  scheduler.request(at(2), ask(2, "c", 90));
  EXPECT_EQ(take(), Words());
}

TEST_F(Schedule, TheQueueIsBounded) {
  scheduler.request(at(0), ask(1, "a", 80));
  scheduler.loaded(at(0), "a");
  for (Waiter waiter = 2; waiter <= 5; ++waiter) {
    scheduler.request(at(0), ask(waiter, "b", 80));
  }
  take();
  scheduler.request(at(0), ask(6, "b", 80));
  EXPECT_EQ(take(), Words({"refuse 6 rate_limited"}));
  EXPECT_TRUE(effects.errors.back().retry_after().has_value());
}

TEST_F(Schedule, LoadedModelsServeWhileAnotherWaitsForMemory) {
  scheduler.request(at(0), ask(1, "a", 80));
  scheduler.loaded(at(0), "a");
  scheduler.request(at(1), ask(2, "b", 80));
  take();
  scheduler.request(at(2), ask(3, "a", 80));
  EXPECT_EQ(take(), Words({"grant 3"}));
}

TEST_F(Schedule, ButNotForEver) {
  scheduler.request(at(0), ask(1, "a", 80));
  scheduler.loaded(at(0), "a");
  scheduler.request(at(1), ask(2, "b", 80));
  take();
  scheduler.request(at(20), ask(3, "a", 80));  // the first has waited longer than its patience
  EXPECT_EQ(take(), Words());
  scheduler.done(at(21), 1);
  EXPECT_EQ(take(), Words({"stop a"}));
  scheduler.stopped(at(22), "a");
  EXPECT_EQ(take(), Words({"start b"}));
  scheduler.loaded(at(23), "b");
  EXPECT_EQ(take(), Words({"grant 2"}));
  scheduler.done(at(24), 2);
  EXPECT_EQ(take(), Words({"stop b"}));  // and now the third
}

TEST_F(Schedule, AStartDoesNotOvertakeAnOlderOne) {
  scheduler.request(at(0), ask(1, "a", 80));
  scheduler.loaded(at(0), "a");
  scheduler.request(at(1), ask(2, "big", 90));
  take();
  scheduler.request(at(2), ask(3, "small", 10));
  EXPECT_EQ(take(), Words());
}

TEST_F(Schedule, ARequestForAnEngineThatStopsStartsItAgain) {
  load(at(0), "a");
  EXPECT_TRUE(scheduler.unload(at(1), "a"));
  scheduler.request(at(1), ask(1, "a"));
  EXPECT_EQ(take(), Words({"stop a"}));
  scheduler.stopped(at(2), "a");
  EXPECT_EQ(take(), Words({"start a"}));
}

TEST_F(Schedule, AFailedLoadRefusesAllWhoWaited) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.request(at(0), ask(2, "a"));
  take();
  scheduler.load_failed(at(1), "a", Error(Code::kCorrupt, "bad"));
  EXPECT_EQ(take(), Words({"refuse 1 corrupt", "refuse 2 corrupt"}));
  EXPECT_EQ(scheduler.promised(), 0u);
}

TEST_F(Schedule, ACrashedEngineIsRestartedAtOnceAndThenWithGrowingPauses) {
  load(at(0), "a");
  scheduler.died(at(1), "a", Error(Code::kUnavailable, "it died"));
  scheduler.request(at(1), ask(1, "a"));
  EXPECT_EQ(take(), Words({"start a"}));
  scheduler.died(at(2), "a", Error(Code::kUnavailable, "it died again"));
  EXPECT_EQ(take(), Words({"refuse 1 unavailable"}));
  scheduler.request(at(2), ask(2, "a"));
  EXPECT_EQ(take(), Words({"refuse 2 unavailable"}));
  EXPECT_NE(effects.errors.back().message().find("it died again"), std::string::npos);
  EXPECT_EQ(effects.errors.back().retry_after(), std::chrono::seconds(1));
  scheduler.request(at(3), ask(3, "a"));
  EXPECT_EQ(take(), Words({"start a"}));
  scheduler.load_failed(at(3), "a", Error(Code::kUnavailable, "x"));
  take();
  scheduler.request(at(4), ask(4, "a"));
  EXPECT_EQ(effects.errors.back().retry_after(), std::chrono::seconds(1));
  scheduler.request(at(5), ask(5, "a"));
  EXPECT_EQ(take(), Words({"refuse 4 unavailable", "start a"}));
}

TEST_F(Schedule, AnEngineThatLivedLongIsNotHeldToOldFailures) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.load_failed(at(0), "a", Error(Code::kUnavailable, "x"));
  scheduler.request(at(0), ask(2, "a"));
  scheduler.loaded(at(0), "a");
  scheduler.died(at(100), "a", Error(Code::kUnavailable, "x"));
  take();
  scheduler.request(at(100), ask(3, "a"));
  EXPECT_EQ(take(), Words({"start a"}));
}

TEST_F(Schedule, TicketsOfADeadEngineAreForgotten) {
  scheduler.request(at(0), ask(1, "a"));
  scheduler.loaded(at(0), "a");
  scheduler.died(at(1), "a", Error(Code::kUnavailable, "x"));
  scheduler.request(at(1), ask(2, "a"));
  scheduler.loaded(at(2), "a");
  scheduler.done(at(3), 1);  // of the old one
  EXPECT_EQ(scheduler.models()[0].in_use, 1u);
}

TEST_F(Schedule, NoMoreThanTheAllowedNumberIsLoaded) {
  rules.max_loaded = 1;
  scheduler.configure(at(0), rules);
  load(at(0), "a");
  scheduler.request(at(1), ask(1, "b"));
  EXPECT_EQ(take(), Words({"stop a"}));
}

TEST_F(Schedule, LessCapacityStopsIdleOnesOnlyWhenAnotherNeedsIt) {
  load(at(0), "a", 50);
  scheduler.set_capacity(at(1), 60);
  EXPECT_EQ(take(), Words());
  scheduler.request(at(2), ask(1, "b", 60));
  EXPECT_EQ(take(), Words({"stop a"}));
}

TEST_F(Schedule, DrainingRefusesAndStopsEverythingInItsTurn) {
  load(at(0), "idle");
  scheduler.request(at(0), ask(1, "busy"));
  scheduler.loaded(at(0), "busy");
  scheduler.request(at(0), ask(2, "starting"));
  scheduler.request(at(0), ask(3, "waiting", 100));
  take();
  scheduler.drain(at(1));
  EXPECT_EQ(take(), Words({"refuse 3 unavailable", "stop idle", "refuse 2 unavailable"}));
  scheduler.request(at(1), ask(4, "busy"));
  EXPECT_EQ(take(), Words({"refuse 4 unavailable"}));
  scheduler.done(at(2), 1);
  EXPECT_EQ(take(), Words({"stop busy"}));
  scheduler.loaded(at(2), "starting");
  EXPECT_EQ(take(), Words({"stop starting"}));
}

// ---- random histories
// ----------------------------------------------------------------------------

// A world that obeys the effects and checks what must hold after every event.
struct World : Effects {
  explicit World(unsigned seed) : random(seed) {}

  void start(const Key& key) override {
    ASSERT_TRUE(running.insert(key).second) << "started twice: " << key;
    starting.insert(key);
  }
  void stop(const Key& key) override {
    ASSERT_TRUE(running.contains(key)) << key;
    for (const auto& [waiter, model] : granted) ASSERT_NE(model, key) << "stopped while in use";
    stopping.insert(key);
  }
  void grant(Waiter waiter, const Key& key) override {
    ASSERT_EQ(open.erase(waiter), 1u) << "answered twice: " << waiter;
    ASSERT_TRUE(running.contains(key) && !starting.contains(key) && !stopping.contains(key));
    granted.emplace(waiter, key);
  }
  void refuse(Waiter waiter, Error) override {
    ASSERT_EQ(open.erase(waiter), 1u) << "answered twice: " << waiter;
  }
  void arm_timer(std::optional<Moment> moment) override { timer = moment; }

  std::size_t pick(std::size_t count) { return random() % count; }
  template <class Set>
  auto any(const Set& set) {
    return *std::next(set.begin(), static_cast<std::ptrdiff_t>(pick(set.size())));
  }
  void end(const Key& key) {
    running.erase(key);
    starting.erase(key);
    stopping.erase(key);
    std::erase_if(granted, [&](const auto& entry) { return entry.second == key; });
  }

  std::mt19937 random;
  std::set<Waiter> open;
  std::map<Waiter, Key> granted;
  std::set<Key> running, starting, stopping;
  std::optional<Moment> timer;
};

std::uint64_t need_of(const Key& key) { return 10 + 13 * static_cast<std::uint64_t>(key[0] - 'a'); }

void step(World& world, Scheduler& scheduler, Moment now, Waiter& next) {
  switch (world.pick(10)) {
    case 0:
    case 1:
    case 2: {
      const Key key(1, static_cast<char>('a' + world.pick(8)));
      Request request{.waiter = ++next, .key = key, .name = key, .need = need_of(key)};
      if (world.pick(3) == 0)
        request.keep_alive = Moment(static_cast<int>(world.pick(3)) * 1000 - 1000);
      world.open.insert(next);
      return scheduler.request(now, request);
    }
    case 3:
      if (world.open.empty()) return;
      {
        const Waiter waiter = world.any(world.open);
        world.open.erase(waiter);
        return scheduler.cancel(now, waiter);
      }
    case 4:
    case 5:
      if (world.granted.empty()) return;
      {
        const Waiter ticket = world.any(world.granted).first;
        world.granted.erase(ticket);
        return scheduler.done(now, ticket);
      }
    case 6:
      if (world.starting.empty()) return;
      {
        const Key key = world.any(world.starting);
        world.starting.erase(key);
        if (world.pick(5) != 0) return scheduler.loaded(now, key);
        world.end(key);
        return scheduler.load_failed(now, key, Error(Code::kUnavailable, "x"));
      }
    case 7:
      if (world.stopping.empty()) return;
      {
        const Key key = world.any(world.stopping);
        world.end(key);
        return scheduler.stopped(now, key);
      }
    case 8:
      if (world.running.empty() || world.pick(4) != 0) return;
      {
        const Key key = world.any(world.running);
        world.end(key);
        return scheduler.died(now, key, Error(Code::kUnavailable, "x"));
      }
    default:
      if (world.timer && *world.timer <= now) return scheduler.timer(now);
      if (world.pick(10) == 0) (void)scheduler.unload_idle(now);
  }
}

class RandomHistory : public testing::TestWithParam<unsigned> {};

TEST_P(RandomHistory, KeepsItsPromises) {
  World world(GetParam());
  Scheduler scheduler({.capacity = 150, .max_waiting = 12, .keep_alive = at(5)}, world);
  Waiter next = 0;
  Moment now{0};
  for (int i = 0; i < 4000; ++i) {
    now += Moment(static_cast<int>(world.pick(400)));
    step(world, scheduler, now, next);
    if (HasFatalFailure()) FAIL() << "at step " << i;
    ASSERT_LE(scheduler.promised(), 150u);
    ASSERT_LE(scheduler.waiting(), 12u);
    ASSERT_EQ(scheduler.waiting(), world.open.size());  // nobody is forgotten
  }
  // Left alone, everything comes to rest and everyone who waits has an answer.
  for (int i = 0; i < 200; ++i) {
    now += at(1);
    while (!world.starting.empty()) {
      const Key key = *world.starting.begin();
      world.starting.erase(key);
      scheduler.loaded(now, key);
    }
    while (!world.granted.empty()) {
      const Waiter ticket = world.granted.begin()->first;
      world.granted.erase(ticket);
      scheduler.done(now, ticket);
    }
    while (!world.stopping.empty()) {
      const Key key = *world.stopping.begin();
      world.end(key);
      scheduler.stopped(now, key);
    }
    if (world.timer && *world.timer <= now) scheduler.timer(now);
  }
  EXPECT_TRUE(world.open.empty());
  EXPECT_EQ(scheduler.waiting(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistory, testing::Range(1u, 21u));

}  // namespace
}  // namespace berth::schedule
