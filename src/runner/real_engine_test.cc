// The runner with a real llama-server in its real sandbox. Skipped where there is no engine: it is
// looked for in BERTH_TEST_ENGINE_ROOT and in the folder that the set-up script unpacks it into.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <signal.h>
#include <stdlib.h>
#include <thread>

#include "base/text.h"
#include "engine/llama.h"
#include "rt/async.h"
#include "runner/runner.h"
#include "runner/tiny_gguf.h"

namespace berth::runner {
namespace {

namespace files = std::filesystem;
using namespace std::chrono_literals;

std::string engine_root() {
  if (const char* given = std::getenv("BERTH_TEST_ENGINE_ROOT")) return given;
  return std::string(BERTH_SOURCE_DIR) + "/.parts/engine";
}

bool is_dead(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.empty() || text.find(") Z ") != std::string::npos;
}

// Processes that have this text among their arguments.
std::vector<int> processes_with(const std::string& text) {
  std::vector<int> found;
  std::error_code ignored;
  for (const auto& entry : files::directory_iterator("/proc", ignored)) {
    const auto pid = parse_u64(entry.path().filename().string());
    if (!pid) continue;
    std::ifstream file(entry.path() / "cmdline");
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    if (line.find(text) != std::string::npos) found.push_back(static_cast<int>(*pid));
  }
  return found;
}

// The kernel ends what is in a sandbox a moment after the sandbox itself.
bool all_gone(const std::string& text) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!processes_with(text).empty()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

class RealEngine : public testing::TestWithParam<engine::Isolation> {
 protected:
  void SetUp() override {
    if (!files::exists(engine_root() + "/usr/bin/llama-server")) {
      GTEST_SKIP() << "no engine: set BERTH_TEST_ENGINE_ROOT to an unpacked engine root";
    }
    char name[] = "/tmp/brtXXXXXX";
    folder = ::mkdtemp(name);
    TinyGguf(128).write(folder + "/weights");
    llama.emplace(loop, engine::LlamaSettings{.configured = engine_root(),
                                              .path = "/usr/bin:/bin",
                                              .runtime_dir = folder + "/run"});
    const auto report = loop.run(llama->sandbox_report(op, GetParam()));
    if (!report && report.error().code() == Code::kDenied) GTEST_SKIP() << report.error().message();
  }
  void TearDown() override {
    if (runner) {
      rt::Op at_once;
      at_once.cancel();
      EXPECT_TRUE(loop.run(runner->shutdown(at_once)));
    }
    if (folder.empty()) return;
    EXPECT_TRUE(all_gone(folder)) << "a process is left";
    EXPECT_TRUE(!files::exists(folder + "/run") || files::is_empty(folder + "/run"));
    files::remove_all(folder);
  }

  Runner& start(Settings settings = {}) {
    settings.isolation = GetParam();
    return runner.emplace(loop, *llama, settings);
  }
  LoadSpec spec() {
    LoadSpec load{.key = "tiny", .model_id = "sha256:tiny", .display_name = "tiny"};
    load.files.model = {folder + "/weights", "model.gguf"};
    load.memory = 50'000'000;
    return load;
  }

  rt::Loop loop;
  rt::Op op;
  std::string folder;
  std::optional<engine::Llama> llama;
  std::optional<Runner> runner;
};

http::Request get(std::string path) {
  http::Request request;
  request.url = {.scheme = "http", .host = "localhost", .port = 80, .path = std::move(path)};
  return request;
}

http::Request chat(int tokens, bool stream) {
  http::Request request = get("/v1/chat/completions");
  request.method = "POST";
  request.headers.set("Content-Type", "application/json");
  request.body = fmt::format(
      R"({{"messages":[{{"role":"user","content":"hello"}}],"max_tokens":{},"stream":{},"ignore_eos":true}})",
      tokens, stream);
  return request;
}

rt::Task<Result<std::string>> ask(rt::Op& op, http::Service& service, http::Request request) {
  CO_TRY(http::Response response, co_await service.handle(op, std::move(request)));
  CO_TRY(std::string body, co_await http::read_all(op, std::move(response.body), 1 << 20));
  if (response.status != 200) co_return fail(Code::kInternal, "{}: {}", response.status, body);
  co_return body;
}

rt::Task<Status> load_and_chat(rt::Op& op, Runner& runner, LoadSpec spec) {
  CO_TRY(Ticket ticket, co_await runner.acquire(op, spec));
  EXPECT_FALSE(ticket.report().was_loaded);
  EXPECT_GT(ticket.report().time, 0ms);
  EXPECT_EQ(ticket.report().context_size, engine::kDefaultContext);
  CO_TRY(const std::string health, co_await ask(op, ticket.service(), get("/health")));
  EXPECT_NE(health.find("ok"), std::string::npos);
  CO_TRY(const std::string answer, co_await ask(op, ticket.service(), chat(4, false)));
  EXPECT_NE(answer.find("\"choices\""), std::string::npos) << answer;

  const std::vector<Running> running = runner.list();
  EXPECT_EQ(running.size(), 1u);
  EXPECT_EQ(running[0].in_use, 1u);
  EXPECT_EQ(running[0].placement.device, "CPU");
  EXPECT_GT(running[0].resident, 1'000'000u);
  EXPECT_EQ((co_await runner.unload(op, {})).value_or(99), 0u);  // in use

  CO_TRY(const Ticket second, co_await runner.acquire(op, spec));
  EXPECT_TRUE(second.report().was_loaded);
  co_return Status();
}
TEST_P(RealEngine, LoadsAnswersAndIsShared) {
  const Status status = loop.run(load_and_chat(op, start(), spec()));
  EXPECT_TRUE(status) << status.error().message();
  EXPECT_FALSE(runner->logs().lines(LogBuffer::Which::kAll).empty());
}

rt::Task<Status> load_and_unload(rt::Op& op, Runner& runner, LoadSpec spec) {
  {
    CO_TRY(const Ticket ticket, co_await runner.acquire(op, spec));
  }
  const std::vector<Running> before = runner.list();
  EXPECT_EQ(before.size(), 1u);
  EXPECT_TRUE(before[0].expires.has_value());
  EXPECT_EQ((co_await runner.unload(op, {"sha256:other"})).value_or(99), 0u);
  EXPECT_EQ((co_await runner.unload(op, {"sha256:tiny"})).value_or(99), 1u);
  EXPECT_TRUE(runner.list().empty());
  EXPECT_FALSE(runner.is_running("sha256:tiny"));
  EXPECT_TRUE(is_dead(before[0].pid));
  co_return Status();
}
TEST_P(RealEngine, UnloadLeavesNothing) {
  const Status status = loop.run(load_and_unload(op, start(), spec()));
  EXPECT_TRUE(status) << status.error().message();
}

rt::Task<Status> killed_mid_answer(rt::Op& op, Runner& runner, LoadSpec spec) {
  CO_TRY(Ticket ticket, co_await runner.acquire(op, spec));
  CO_TRY(http::Response response, co_await ticket.service().handle(op, chat(1500, true)));
  EXPECT_EQ(response.status, 200);
  auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&response.body.content);
  if (!reader) co_return fail(Code::kInternal, "no stream");
  std::array<std::byte, 512> buffer;
  CO_TRY(const std::size_t first, co_await (*reader)->read(op, buffer));
  EXPECT_GT(first, 0u);
  ::kill(runner.list()[0].pid, SIGKILL);
  while (true) {
    const auto got = co_await (*reader)->read(op, buffer);
    if (got && *got > 0) continue;
    EXPECT_FALSE(got) << "the stream ended as if it were whole";
    if (!got)
      EXPECT_NE(got.error().message().find("engine"), std::string::npos) << got.error().message();
    break;
  }
  EXPECT_TRUE(ticket.engine_failure().has_value());
  // The next request gets a fresh engine at once.
  CO_TRY(Ticket again, co_await runner.acquire(op, spec));
  EXPECT_FALSE(again.report().was_loaded);
  CO_TRY_OK(co_await ask(op, again.service(), chat(2, false)));
  co_return Status();
}
TEST_P(RealEngine, KilledInMidAnswerIsExplainedAndStartedAgain) {
  const Status status = loop.run(killed_mid_answer(op, start(), spec()));
  EXPECT_TRUE(status) << status.error().message();
}

// What one ticket said; it is given back at once.
rt::Task<Result<LoadReport>> acquired(rt::Op& op, Runner& runner, LoadSpec spec) {
  CO_TRY(const Ticket ticket, co_await runner.acquire(op, std::move(spec)));
  co_return ticket.report();
}
TEST_P(RealEngine, AModelThatCannotBeReadIsReportedWithTheEnginesWords) {
  std::ofstream(folder + "/weights", std::ios::trunc) << "GGUF, but no more";
  const auto ticket = loop.run(acquired(op, start(), spec()));
  ASSERT_FALSE(ticket);
  EXPECT_EQ(ticket.error().code(), Code::kCorrupt) << ticket.error().message();
  EXPECT_NE(ticket.error().message().find("last lines"), std::string::npos);
}

TEST_P(RealEngine, OptionsReachTheEngine) {
  LoadSpec load = spec();
  load.options.context_size = 512;
  load.options.parallel = 1;
  load.options.temperature = 0;
  load.options.cache_type_k = "q8_0";
  load.options.flash_attention = "on";
  const auto ticket = loop.run(acquired(op, start(), load));
  ASSERT_TRUE(ticket) << ticket.error().message();
  EXPECT_EQ(ticket->context_size, 512u);
}

// Every flag of the table is one that this llama-server takes.
TEST_P(RealEngine, EveryKnownFlagIsTaken) {
  std::vector<std::string> words;
  for (const std::string_view name : engine::known_flags()) {
    for (const char* value :
         {"", "none", "1", "0", "0-1", "ff", "on", "f16", "linear", "mean", "top_k"}) {
      std::vector<std::string> one{std::string(name)};
      if (*value != 0) one.emplace_back(value);
      if (engine::parse_runtime_flags(one)) {
        words.insert(words.end(), one.begin(), one.end());
        break;
      }
    }
  }
  LoadSpec load = spec();
  load.options = engine::parse_runtime_flags(words).value();
  load.options.context_size = 256;
  // These need devices, more context or another model; their spelling is checked by the parser
  // alone.
  load.options.cpu_mask = load.options.cpu_mask_batch = std::nullopt;
  load.options.cpu_range = load.options.cpu_range_batch = std::nullopt;
  load.options.draft_device = std::nullopt;
  load.options.cache_type_v = load.options.cache_type_k = std::nullopt;
  load.options.batch = load.options.ubatch = 64;
  load.options.pooling = std::nullopt;
  load.options.lora_init_without_apply = std::nullopt;
  load.options.sleep_idle_seconds = std::nullopt;
  const auto ticket = loop.run(acquired(op, start(), load));
  EXPECT_TRUE(ticket) << ticket.error().message();
}

rt::Task<Status> embeddings(rt::Op& op, Runner& runner, LoadSpec spec) {
  CO_TRY(Ticket ticket, co_await runner.acquire(op, std::move(spec)));
  http::Request request = get("/v1/embeddings");
  request.method = "POST";
  request.headers.set("Content-Type", "application/json");
  request.body = R"({"input":"hello"})";
  CO_TRY(const std::string body, co_await ask(op, ticket.service(), std::move(request)));
  EXPECT_NE(body.find("\"embedding\""), std::string::npos);
  co_return Status();
}
TEST_P(RealEngine, EmbeddingModeEmbeds) {
  LoadSpec load = spec();
  load.options.mode = engine::Mode::kEmbedding;
  load.options.pooling = "mean";
  const Status status = loop.run(embeddings(op, start(), load));
  EXPECT_TRUE(status) << status.error().message();
}

rt::Task<Status> leave_while_loading(rt::Loop& loop, Runner& runner, LoadSpec spec) {
  rt::Op impatient;
  rt::Op patient;
  rt::Scope scope(loop);
  impatient.cancel();
  EXPECT_FALSE(co_await runner.acquire(impatient, spec));
  rt::Op soon(patient, std::chrono::steady_clock::now() + 5ms);
  const auto left = co_await runner.acquire(soon, spec);
  EXPECT_FALSE(left);
  CO_TRY(const Ticket ticket, co_await runner.acquire(patient, spec));
  co_return Status();
}
TEST_P(RealEngine, WhoLeavesDoesNotStopTheLoad) {
  const Status status = loop.run(leave_while_loading(loop, start(), spec()));
  EXPECT_TRUE(status) << status.error().message();
}

TEST_P(RealEngine, ShutdownWhileLoadingLeavesNothing) {
  Runner& under_test = start();
  rt::Op soon(op, std::chrono::steady_clock::now() + 5ms);
  EXPECT_FALSE(loop.run(acquired(soon, under_test, spec())));
  // TearDown shuts down and looks for what is left.
}

INSTANTIATE_TEST_SUITE_P(Isolations, RealEngine,
                         testing::Values(engine::Isolation::kSandbox, engine::Isolation::kNone),
                         [](const auto& info) {
                           return info.param == engine::Isolation::kSandbox ? "Sandbox"
                                                                            : "NoSandbox";
                         });

}  // namespace
}  // namespace berth::runner
