// The runner with an engine that is a real process but a pretended server.
#include "runner/runner.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <signal.h>
#include <stdlib.h>

#include "http/server.h"
#include "rt/async.h"

namespace berth::runner {
namespace {

namespace files = std::filesystem;
using namespace std::chrono_literals;

// Starts a shell that sleeps (or does what `script` says) and is ready when `open` is.
class FakeEngine : public engine::Engine {
 public:
  FakeEngine() {
    char name[] = "/tmp/brunXXXXXX";
    folder = ::mkdtemp(name);
  }
  ~FakeEngine() override { files::remove_all(folder); }

  const engine::Traits& traits() const override { return traits_; }
  rt::Task<Result<engine::Installation>> probe(rt::Op&) override {
    co_return engine::Installation{};
  }
  rt::Task<Result<engine::Launch>> plan(rt::Op&, engine::LaunchRequest request) override {
    ++plans;
    if (plan_failure) co_return std::unexpected(*plan_failure);
    engine::Launch launch;
    launch.command = {.program = "/bin/sh", .arguments = {"-c", script}};
    launch.socket = folder + "/s.sock";
    launch.context_size = static_cast<std::uint64_t>(request.options.context_size.value_or(100));
    co_return launch;
  }
  rt::Task<Status> ready(rt::Op& op, process::Child& child, http::Service&) override {
    while (!open) {
      if (child.exit_status()) co_return fail(Code::kUnavailable, "ended");
      CO_TRY_OK(co_await rt::sleep_for(op, 1ms));
    }
    co_return Status();
  }
  Error explain_exit(const process::Child& child, const engine::Launch&) const override {
    return {Code::kUnavailable, "the fake engine ended: " + child.output().last_lines(1)};
  }
  rt::Task<Result<engine::SandboxReport>> sandbox_report(rt::Op&, engine::Isolation) override {
    co_return engine::SandboxReport{};
  }

  std::string folder;
  std::string script = "sleep 600";
  bool open = true;
  int plans = 0;
  std::optional<Error> plan_failure;

 private:
  engine::Traits traits_{.name = "fake"};
};

LoadSpec spec(const std::string& name, std::uint64_t memory = 10) {
  return {.key = name, .model_id = "id-" + name, .display_name = name, .memory = memory};
}

class RunnerTest : public testing::Test {
 protected:
  void TearDown() override {
    if (!runner) return;
    rt::Op at_once;
    at_once.cancel();
    EXPECT_TRUE(loop.run(runner->shutdown(at_once)));
    EXPECT_TRUE(runner->list().empty());
  }
  Runner& start(Settings settings = {}) {
    if (!settings.memory_limit) settings.memory_limit = 100;
    return runner.emplace(loop, fake, settings);
  }

  rt::Loop loop;
  rt::Op op;
  FakeEngine fake;
  std::optional<Runner> runner;
};

bool is_gone(int pid) { return ::kill(pid, 0) != 0; }

rt::Task<Status> take(rt::Op& op, Runner& runner, LoadSpec load, std::optional<Ticket>& into) {
  CO_TRY(Ticket ticket, co_await runner.acquire(op, std::move(load)));
  into.emplace(std::move(ticket));
  co_return Status();
}

rt::Task<Status> share(rt::Loop& loop, rt::Op& op, Runner& runner) {
  std::optional<Ticket> first, second;
  rt::Scope scope(loop);
  scope.spawn(take(op, runner, spec("a"), first));
  scope.spawn(take(op, runner, spec("a"), second));
  CO_TRY_OK(co_await scope.join());
  EXPECT_EQ(runner.list().at(0).in_use, 2u);
  first.reset();
  EXPECT_EQ(runner.list().at(0).in_use, 1u);
  co_return Status();
}
TEST_F(RunnerTest, OneEngineServesAllOfAModel) {
  EXPECT_TRUE(loop.run(share(loop, op, start())));
  EXPECT_EQ(fake.plans, 1);
}

rt::Task<Status> leave(rt::Loop& loop, Runner& runner, FakeEngine& fake) {
  rt::Op leaver, stayer;
  std::optional<Ticket> first, second;
  rt::Scope scope(loop);
  fake.open = false;
  scope.spawn(take(leaver, runner, spec("a"), first));
  scope.spawn(take(stayer, runner, spec("a"), second));
  while (fake.plans == 0) co_await rt::sleep_for(stayer, 1ms);
  leaver.cancel();
  fake.open = true;
  const Status joined = co_await scope.join();
  EXPECT_EQ(joined.error().code(), Code::kCancelled);
  EXPECT_FALSE(first.has_value());
  EXPECT_TRUE(second.has_value());
  co_return Status();
}
TEST_F(RunnerTest, WhoLeavesDoesNotCancelTheOthers) {
  EXPECT_TRUE(loop.run(leave(loop, start(), fake)));
  EXPECT_EQ(fake.plans, 1);
}

rt::Task<Status> evict(rt::Op& op, Runner& runner) {
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, spec("a", 60), ticket));
  ticket.reset();
  const int pid = runner.list().at(0).pid;
  CO_TRY_OK(co_await take(op, runner, spec("b", 60), ticket));
  EXPECT_TRUE(is_gone(pid));
  EXPECT_EQ(runner.list().size(), 1u);
  EXPECT_EQ(runner.list().at(0).display_name, "b");
  EXPECT_TRUE(runner.is_running("id-b"));
  EXPECT_FALSE(runner.is_running("id-a"));
  co_return Status();
}
TEST_F(RunnerTest, AnIdleEngineMakesRoom) { EXPECT_TRUE(loop.run(evict(op, start()))); }

rt::Task<Status> refused(rt::Op& op, Runner& runner, LoadSpec load) {
  std::optional<Ticket> ticket;
  co_return co_await take(op, runner, std::move(load), ticket);
}
TEST_F(RunnerTest, WhatNeverFitsIsRefusedBeforeAnythingStarts) {
  EXPECT_EQ(loop.run(refused(op, start(), spec("big", 1000))).error().code(), Code::kExhausted);
  EXPECT_EQ(fake.plans, 0);
}

TEST_F(RunnerTest, APlansFailureIsTheAnswer) {
  fake.plan_failure = Error(Code::kDenied, "no namespaces");
  EXPECT_EQ(loop.run(refused(op, start(), spec("a"))).error().message(), "no namespaces");
  EXPECT_TRUE(runner->list().empty());
}

TEST_F(RunnerTest, AnEngineThatDiesWhileLoadingIsReportedWithItsLastLine) {
  fake.script = "echo first; echo 'it hurts'; exit 3";
  fake.open = false;
  const Status status = loop.run(refused(op, start(), spec("a")));
  EXPECT_EQ(status.error().message(), "the fake engine ended: it hurts");
  EXPECT_EQ(runner->logs().lines(LogBuffer::Which::kAll).at(1), "[a] it hurts");
}

TEST_F(RunnerTest, ALoadTakesNoLongerThanItMay) {
  fake.open = false;
  EXPECT_EQ(loop.run(refused(op, start({.load_time = 20ms}), spec("a"))).error().code(),
            Code::kTimeout);
  EXPECT_TRUE(runner->list().empty());
}

rt::Task<Status> back_off(rt::Op& op, Runner& runner, FakeEngine& fake) {
  fake.plan_failure = Error(Code::kCorrupt, "bad model");
  EXPECT_FALSE(co_await refused(op, runner, spec("a")));
  EXPECT_FALSE(co_await refused(op, runner, spec("a")));  // the second try comes at once
  EXPECT_EQ(fake.plans, 2);
  const Status third = co_await refused(op, runner, spec("a"));
  EXPECT_EQ(fake.plans, 2);
  EXPECT_EQ(third.error().code(), Code::kCorrupt);
  EXPECT_TRUE(third.error().retry_after().has_value());
  EXPECT_NE(third.error().message().find("bad model"), std::string::npos);
  co_return Status();
}
TEST_F(RunnerTest, RepeatedFailuresPause) { EXPECT_TRUE(loop.run(back_off(op, start(), fake))); }

rt::Task<Status> killed(rt::Op& op, Runner& runner) {
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, spec("a"), ticket));
  ::kill(-runner.list().at(0).pid, SIGKILL);
  while (!ticket->engine_failure()) CO_TRY_OK(co_await rt::sleep_for(op, 1ms));
  EXPECT_TRUE(runner.list().empty());
  const auto answer = co_await ticket->service().handle(op, {});
  EXPECT_NE(answer.error().message().find("the fake engine ended"), std::string::npos);
  CO_TRY_OK(co_await take(op, runner, spec("a"), ticket));  // the old one is given back by this
  EXPECT_EQ(runner.list().at(0).in_use, 1u);
  co_return Status();
}
TEST_F(RunnerTest, ADeadEngineFailsItsTicketsAndIsReplaced) {
  const Status status = loop.run(killed(op, start()));
  EXPECT_TRUE(status) << status.error().message();
  EXPECT_EQ(fake.plans, 2);
}

rt::Task<Status> keep_alive(rt::Op& op, Runner& runner) {
  LoadSpec once = spec("a");
  once.keep_alive = 0ms;
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, once, ticket));
  const int pid = runner.list().at(0).pid;
  ticket.reset();
  while (!runner.list().empty()) CO_TRY_OK(co_await rt::sleep_for(op, 1ms));
  EXPECT_TRUE(is_gone(pid));

  LoadSpec shortly = spec("b");
  shortly.keep_alive = 20ms;
  CO_TRY_OK(co_await take(op, runner, shortly, ticket));
  ticket.reset();
  EXPECT_TRUE(runner.list().at(0).expires.has_value());
  while (!runner.list().empty()) CO_TRY_OK(co_await rt::sleep_for(op, 1ms));
  co_return Status();
}
TEST_F(RunnerTest, IdleEnginesGoWhenTheirTimeIsOver) {
  EXPECT_TRUE(loop.run(keep_alive(op, start())));
}

rt::Task<Status> guarded(rt::Op& op, Runner& runner) {
  LoadSpec load = spec("a");
  auto guard = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = guard;
  load.guard = std::move(guard);
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, std::move(load), ticket));
  ticket.reset();
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ((co_await runner.unload(op, {"id-a"})).value_or(99), 1u);
  EXPECT_TRUE(watched.expired());
  co_return Status();
}
TEST_F(RunnerTest, TheGuardIsHeldAsLongAsTheEngineLives) {
  EXPECT_TRUE(loop.run(guarded(op, start())));
}

rt::Task<Status> drained(rt::Loop& loop, rt::Op& op, Runner& runner) {
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, spec("a"), ticket));
  rt::Scope scope(loop);
  rt::Op patient;
  scope.spawn(runner.shutdown(patient));
  EXPECT_EQ((co_await refused(op, runner, spec("b"))).error().code(), Code::kUnavailable);
  EXPECT_EQ(runner.list().size(), 1u);  // in use: it may finish
  ticket.reset();
  CO_TRY_OK(co_await scope.join());
  EXPECT_TRUE(runner.list().empty());
  co_return Status();
}
TEST_F(RunnerTest, ShutdownLetsWhatIsInFlightEnd) {
  EXPECT_TRUE(loop.run(drained(loop, op, start())));
}

rt::Task<Status> forced(rt::Op& op, Runner& runner) {
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, spec("a"), ticket));
  const int pid = runner.list().at(0).pid;
  rt::Op brief(op, std::chrono::steady_clock::now() + 20ms);
  CO_TRY_OK(co_await runner.shutdown(brief));
  EXPECT_TRUE(is_gone(pid));
  EXPECT_TRUE(ticket->engine_failure().has_value());
  co_return Status();
}
TEST_F(RunnerTest, ShutdownDoesNotWaitForEver) { EXPECT_TRUE(loop.run(forced(op, start()))); }

// The pretended server answers on the socket that the ticket speaks to.
struct Echo : http::Service {
  rt::Task<Result<http::Response>> handle(rt::Op&, http::Request request) override {
    co_return http::reply(200, "text/plain", request.url.path);
  }
};
rt::Task<Status> through(rt::Loop& loop, rt::Op& op, Runner& runner, FakeEngine& fake) {
  Echo echo;
  http::Server server(loop, echo);
  CO_TRY_OK(server.listen_unix(fake.folder + "/s.sock"));
  rt::Scope scope(loop);
  rt::Op serving;
  scope.spawn(server.serve(serving));
  std::optional<Ticket> ticket;
  CO_TRY_OK(co_await take(op, runner, spec("a"), ticket));
  http::Request request;
  request.url = {.scheme = "http", .host = "localhost", .port = 80, .path = "/hello"};
  CO_TRY(http::Response response, co_await ticket->service().handle(op, std::move(request)));
  CO_TRY(const std::string body, co_await http::read_all(op, std::move(response.body), 100));
  EXPECT_EQ(body, "/hello");
  serving.cancel();
  (void)co_await scope.join();
  co_return Status();
}
TEST_F(RunnerTest, ATicketSpeaksToItsEngine) {
  const Status status = loop.run(through(loop, op, start(), fake));
  EXPECT_TRUE(status) << status.error().message();
}

// ---- logs and memory
// -----------------------------------------------------------------------------

TEST(LogBuffer, IsBoundedPrintableAndFollowed) {
  LogBuffer log;
  std::vector<std::string> seen;
  bool ended = false;
  auto following = log.follow({.on_line = [&](const std::string& line) { seen.push_back(line); },
                               .on_end = [&] { ended = true; }});
  log.add_engine("m", "a\x1b[2J");
  EXPECT_EQ(seen, std::vector<std::string>{"[m] a\\x1b[2J"});
  following.reset();
  for (std::size_t i = 0; i < 3 * LogBuffer::kMaxLines; ++i)
    log.add_engine("m", fmt::format("line {}", i));
  EXPECT_EQ(seen.size(), 1u);
  const auto lines = log.lines(LogBuffer::Which::kAll);
  EXPECT_EQ(lines.size(), LogBuffer::kMaxLines);
  EXPECT_TRUE(lines.back().ends_with("line 5999"));
  log.end();
  EXPECT_FALSE(ended) << "who left is told nothing";
}

TEST(LogBuffer, TheServersLinesAlone) {
  LogBuffer log;
  std::vector<std::string> seen;
  bool ended = false;
  const auto following =
      log.follow({.which = LogBuffer::Which::kServer,
                  .on_line = [&](const std::string& line) { seen.push_back(line); },
                  .on_end = [&] { ended = true; }});
  log.add_engine("m", "loading");
  log.add_server("listening");
  const std::vector<std::string> server{"[berth] listening"};
  EXPECT_EQ(seen, server);
  EXPECT_EQ(log.lines(LogBuffer::Which::kServer), server);
  EXPECT_EQ(log.lines(LogBuffer::Which::kAll).size(), 2u);
  log.end();
  EXPECT_TRUE(ended);
}

TEST(Memory, MeminfoIsReadStrictly) {
  const auto state = parse_meminfo("MemTotal:  1000 kB\nMemFree: 5 kB\nMemAvailable:   400 kB\n");
  EXPECT_EQ(state->total, 1'024'000u);
  EXPECT_EQ(state->available, 409'600u);
  EXPECT_FALSE(parse_meminfo("MemTotal: 1000 kB\n"));
  EXPECT_FALSE(parse_meminfo("MemTotal: x kB\nMemAvailable: 1 kB\n"));
  EXPECT_FALSE(parse_meminfo("MemTotal: 99999999999999999999 kB\nMemAvailable: 1 kB\n"));
}

TEST(Memory, ACgroupBoundsTheMachine) {
  const MemoryState machine{1000, 800};
  EXPECT_EQ(bounded_by(machine, {}).available, 800u);
  EXPECT_EQ(bounded_by(machine, {.limit = 500, .usage = 400, .reclaimable = 100}).available, 200u);
  EXPECT_EQ(bounded_by(machine, {.limit = 500, .usage = 900}).available, 0u);
  EXPECT_EQ(bounded_by(machine, {.limit = 500, .usage = 0}).total, 500u);
  EXPECT_EQ(bounded_by(machine, {.limit = 0x7ffffffffffff000, .usage = 1}).available, 800u);
}

TEST(Memory, EveryGroupAboveCounts) {
  char name[] = "/tmp/bmemXXXXXX";
  const std::string root = ::mkdtemp(name);
  const auto put = [&](const std::string& file, const std::string& text) {
    files::create_directories(files::path(root + "/" + file).parent_path());
    std::ofstream(root + "/" + file) << text;
  };
  put("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 900 kB\n");
  put("proc/self/cgroup", "0::/a/b\n");
  put("cg/a/b/memory.max", "max\n");
  put("cg/a/memory.max", "512000\n");
  put("cg/a/memory.current", "12000\n");
  put("cg/a/memory.stat", "anon 1\ninactive_file 2000\n");
  EXPECT_EQ(read_memory({root + "/proc", root + "/cg"})->available, 502'000u);
  put("proc/self/cgroup", "4:memory:/x\n0::/\n");
  put("cg/memory/x/memory.limit_in_bytes", "300000\n");
  EXPECT_EQ(read_memory({root + "/proc", root + "/cg"})->available, 300'000u);
  files::remove_all(root);
  EXPECT_TRUE(read_memory().has_value());
}

TEST(Memory, CapacityIsWhatIsThereLessAReserve) {
  constexpr std::uint64_t kGiB = 1ULL << 30;
  EXPECT_EQ(capacity({16 * kGiB, 10 * kGiB}, 2 * kGiB, kGiB), 11 * kGiB);
  EXPECT_EQ(capacity({100 * kGiB, 10 * kGiB}, 0, std::nullopt), 6 * kGiB);  // 4 GiB at most
  EXPECT_EQ(capacity({kGiB, kGiB / 8}, 0, std::nullopt), 0u);               // 256 MiB at least
}

}  // namespace
}  // namespace berth::runner
