#include "content/download.h"

#include <gtest/gtest.h>
#include <map>

#include "content/lanes.h"
#include "content/memory_target.h"
#include "rt/async.h"

namespace berth::content {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kUnit = 10'000;

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

// A server with programmable faults.
class Server : public Fetcher {
 public:
  explicit Server(rt::Loop& loop) : loop(loop) {}
  rt::Loop& loop;
  std::string bytes;
  bool ranges = true;
  std::size_t whole_from = SIZE_MAX;  // this request and all behind it get the whole blob
  std::shared_ptr<Lanes> lanes;
  std::map<int, std::uint64_t> cut_after;  // of the n-th request: bytes until it breaks
  std::map<int, Error> refusals;           // of the n-th request
  std::map<int, std::uint64_t> stalls_after;
  std::map<int, std::uint64_t> short_to;  // the n-th answers with less than was asked for
  milliseconds per_read{0};
  std::size_t most_a_read = 1000;
  std::vector<ByteRange> requests;
  std::uint64_t sent = 0;
  int open = 0;
  int most_open = 0;

  rt::Task<Result<Source>> fetch(rt::Op&, oci::Descriptor, ByteRange range) override {
    const int number = static_cast<int>(requests.size());
    requests.push_back(range);
    if (const auto refused = refusals.find(number); refused != refusals.end())
      co_return std::unexpected(refused->second);
    const bool ranged = ranges && requests.size() <= whole_from;
    Source source;
    source.size = bytes.size();
    source.offset = ranged ? range.offset : 0;
    source.lanes = lanes;
    std::uint64_t end = ranged && range.length ? range.offset + *range.length : bytes.size();
    if (short_to.contains(number)) end = std::min(end, range.offset + short_to[number]);
    source.reader = std::make_unique<Body>(*this, number, source.offset, end);
    co_return std::move(source);
  }

 private:
  struct Body : rt::Reader {
    Body(Server& of, int its_number, std::uint64_t from, std::uint64_t to)
        : server(of), number(its_number), begin(from), at(from), end(to) {
      server.most_open = std::max(server.most_open, ++server.open);
    }
    ~Body() override { --server.open; }
    rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
      CO_TRY_OK(op.check());
      if (server.per_read.count() > 0) CO_TRY_OK(co_await rt::sleep_for(op, server.per_read));
      if (server.stalls_after.contains(number) && at - begin >= server.stalls_after[number]) {
        rt::Event never(server.loop);
        CO_TRY_OK(co_await never.wait(op));
      }
      std::uint64_t most = std::min<std::uint64_t>({into.size(), end - at, server.most_a_read});
      if (server.cut_after.contains(number)) {
        const std::uint64_t cut = begin + server.cut_after[number];
        if (at >= cut) co_return fail(Code::kUnavailable, "the connection broke");
        most = std::min(most, cut - at);
      }
      std::memcpy(into.data(), server.bytes.data() + at, most);
      at += most;
      server.sent += most;
      co_return most;
    }
    Server& server;
    int number;
    std::uint64_t begin, at, end;
  };
};

struct Memory : Sink {
  std::string bytes;
  std::vector<bool> seen;
  std::optional<Error> failure;
  std::function<void(std::uint64_t)> on_write;  // told where it ends
  rt::Task<Status> write(rt::Op&, std::uint64_t offset, Bytes part) override {
    if (failure) co_return std::unexpected(*failure);
    bytes.resize(std::max<std::size_t>(bytes.size(), offset + part.size()));
    seen.resize(bytes.size());
    std::memcpy(bytes.data() + offset, part.data(), part.size());
    for (std::size_t i = 0; i < part.size(); ++i) {
      EXPECT_FALSE(seen[offset + i]) << "twice: " << offset + i;
      seen[offset + i] = true;
    }
    if (on_write) on_write(offset + part.size());
    co_return Status();
  }
};

struct Retries : Progress {
  std::vector<std::string> messages;
  std::uint64_t current = 0;
  void on(const Event& event) override {
    if (event.kind == Event::Kind::kRetry) messages.push_back(event.message);
    if (event.kind == Event::Kind::kBytes) {
      EXPECT_GE(event.current, current);
      current = event.current;
    }
  }
};

class DownloadTest : public testing::Test {
 protected:
  void SetUp() override { server.bytes = pattern(95'500); }
  Status get() {
    Plan plan(server.bytes.size(), kUnit);
    return get(plan);
  }
  Status get(Plan& plan) {
    const oci::Descriptor blob{.media_type = "w",
                               .digest = oci::Digest::of(as_bytes(server.bytes)),
                               .size = server.bytes.size()};
    return loop.run(download(op, loop, server, blob, plan, memory, progress,
                             {.first_delay = milliseconds(1),
                              .longest_delay = milliseconds(2),
                              .tick = milliseconds(5),
                              .now = [this] { return begun + (clock() - begun) * hurry; }}));
  }
  static rt::SteadyTime clock() { return std::chrono::steady_clock::now(); }
  rt::SteadyTime begun = clock();
  int hurry = 1;  // how much faster time passes
  rt::Loop loop;
  rt::Op op;
  Server server{loop};
  Memory memory;
  Retries progress;
};

TEST_F(DownloadTest, OneRequestWithoutARangeWhenNothingIsSaidOfLanes) {
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
  ASSERT_EQ(server.requests.size(), 1u);
  EXPECT_EQ(server.requests[0].offset, 0u);
  EXPECT_FALSE(server.requests[0].length);
  EXPECT_EQ(progress.current, server.bytes.size());
}

TEST_F(DownloadTest, GoesOnAfterACut) {
  server.cut_after = {{0, 25'300}, {1, 1}};
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
  EXPECT_EQ(server.requests[1].offset, 25'300u);
  EXPECT_EQ(server.requests[2].offset, 25'301u);
  EXPECT_EQ(server.sent, server.bytes.size());
}

TEST_F(DownloadTest, GivesUpAfterTriesInVain) {
  for (int i = 0; i < 20; ++i)
    server.refusals.emplace(i, Error(Code::kUnavailable, "no connection"));
  const Status done = get();
  EXPECT_EQ(done.error().code(), Code::kUnavailable);
  EXPECT_EQ(done.error().message(), "no connection");
  EXPECT_EQ(server.requests.size(), 6u);
  ASSERT_EQ(progress.messages.size(), 5u);
  EXPECT_NE(progress.messages[0].find("trying again in"), std::string::npos);
}

TEST_F(DownloadTest, ARefusalIsNotTriedAgain) {
  server.refusals.emplace(0, Error(Code::kNotFound, "no such blob"));
  EXPECT_EQ(get().error().code(), Code::kNotFound);
  EXPECT_EQ(server.requests.size(), 1u);
}

TEST_F(DownloadTest, ShortAnswersAreGoneOnFrom) {
  for (int i = 0; i < 50; ++i) server.short_to[i] = 3000;
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
}

TEST_F(DownloadTest, AnswersOfNothingEnd) {
  for (int i = 0; i < 50; ++i) server.short_to[i] = 0;
  EXPECT_EQ(get().error().code(), Code::kUnavailable);
}

TEST_F(DownloadTest, WhatSomebodyWaitsForGetsAConnectionOfItsOwn) {
  server.lanes = std::make_shared<Lanes>(4);
  server.stalls_after = {{0, 15'000}};
  Plan plan(server.bytes.size(), kUnit);
  memory.on_write = [&](std::uint64_t end) {
    plan.prefer(72'000);
    if (end == 80'000) op.cancel();
  };
  EXPECT_FALSE(get(plan));  // the first connection stands still for ever
  EXPECT_EQ(plan.held(7), kUnit);
  EXPECT_EQ(server.requests[1].offset, 70'000u);
}

TEST_F(DownloadTest, AServerWithoutRangesSendsAllAgainAndWhatIsHeldIsPassedOver) {
  server.ranges = false;
  server.cut_after = {{0, 40'000}};
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
  EXPECT_EQ(server.requests.size(), 2u);
}

TEST_F(DownloadTest, SeveralConnectionsWhenTheyPay) {
  server.bytes = pattern(2'000'000);
  server.lanes = std::make_shared<Lanes>(4);
  server.per_read = milliseconds(1);
  server.most_a_read = 1000;
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
  EXPECT_EQ(server.most_open, 4);
  EXPECT_EQ(server.lanes->open(), 0u);
  EXPECT_LT(server.sent, 2'100'000u);
}

TEST_F(DownloadTest, AConnectionThatStandsStillIsLeft) {
  server.bytes = pattern(2'000'000);
  server.lanes = std::make_shared<Lanes>(2);
  server.per_read = milliseconds(1);
  server.stalls_after = {{1, 3000}};
  hurry = 20;
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
}

TEST_F(DownloadTest, ServersThatLoseTheirRangesOnTheWayDoNotConfuse) {
  server.bytes = pattern(2'000'000);
  server.lanes = std::make_shared<Lanes>(4);
  server.per_read = milliseconds(1);
  server.most_a_read = 10'000;
  struct Turn : Progress {
    Server* server = nullptr;
    void on(const Event& event) override { server->ranges = event.current < 100'000; }
  } turn;
  turn.server = &server;
  Plan plan(server.bytes.size(), kUnit);
  const oci::Descriptor blob{.digest = oci::Digest::of(as_bytes(server.bytes)),
                             .size = server.bytes.size()};
  ASSERT_TRUE(
      loop.run(download(op, loop, server, blob, plan, memory, turn, {.tick = milliseconds(5)})));
  EXPECT_EQ(memory.bytes, server.bytes);
  EXPECT_EQ(server.lanes->open(), 0u);
}

TEST_F(DownloadTest, OneConnectionIsEnoughForAServerThatKnowsNoRangesAfterAll) {
  server.bytes = pattern(2'000'000);
  server.lanes = std::make_shared<Lanes>(4);
  server.per_read = milliseconds(1);
  server.most_a_read = 10'000;
  server.whole_from = 1;
  hurry = 10;  // the lanes want more before the first connection is through
  ASSERT_TRUE(get());
  EXPECT_EQ(memory.bytes, server.bytes);
  EXPECT_LE(server.requests.size(), 3u);
  EXPECT_EQ(server.lanes->open(), 0u);
}

TEST_F(DownloadTest, AFailingSinkEndsIt) {
  memory.failure = Error(Code::kExhausted, "the disk is full");
  EXPECT_EQ(get().error().code(), Code::kExhausted);
}

TEST_F(DownloadTest, CancellingEndsItAndKeepsWhatCame) {
  server.per_read = milliseconds(1);
  struct Stop : Progress {
    rt::Op* op = nullptr;
    void on(const Event& event) override {
      if (event.current >= 20'000) op->cancel();
    }
  } stop;
  stop.op = &op;
  Plan plan(server.bytes.size(), kUnit);
  const oci::Descriptor blob{.digest = oci::Digest::of(as_bytes(server.bytes)),
                             .size = server.bytes.size()};
  EXPECT_EQ(loop.run(download(op, loop, server, blob, plan, memory, stop)).error().code(),
            Code::kCancelled);
  EXPECT_GE(plan.held(), 20'000u);
  EXPECT_EQ(plan.held(), memory.bytes.size());
}

TEST_F(DownloadTest, MoreThanWasAnnouncedIsRefused) {
  const oci::Descriptor blob{.digest = oci::Digest::of(as_bytes(server.bytes)), .size = 1000};
  Plan plan(1000, kUnit);
  EXPECT_EQ(loop.run(download(op, loop, server, blob, plan, memory, progress)).error().code(),
            Code::kDigestMismatch);
}

}  // namespace
}  // namespace berth::content
