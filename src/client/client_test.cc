#include "client/client.h"

#include <cstring>
#include <gtest/gtest.h>

#include "base/text.h"
#include "client/server.h"
#include "http/imposter.h"

namespace berth::client {
namespace {

using http::Recorded;
using Kind = control::Event::Kind;

const std::string kId = "sha256:" + std::string(64, 'b');
const std::string kModel =
    R"({"id":")" + kId +
    R"(","tags":["docker.io/ai/m:latest"],"created":1700000000,"config":{"format":"gguf","size":"91.73 MB"}})";

struct Collected : control::Events, control::ChatSink {
  std::vector<std::string> told;
  std::string content;
  std::string reasoning;
  std::string status;
  void on(const control::Event& event) override {
    told.push_back(fmt::format("{} {} {}/{}", static_cast<int>(event.kind),
                               event.layer.empty() ? event.message : "layer", event.current,
                               event.size));
  }
  void on_content(std::string_view text) override { content += text; }
  void on_reasoning(std::string_view text) override { reasoning += text; }
  void on_status(std::string_view line) override { status += line; }
};

struct ClientTest : testing::Test {
  rt::Loop loop{1};
  http::Imposter server{loop};
  std::unique_ptr<Client> made;
  Collected collected;
  rt::Op op{"test"};
  std::string prefix;

  Client& client() {
    if (!made)
      made = Client::connect(loop, {.url = server.url(prefix), .token = Secret("tok")}).value();
    return *made;
  }
  control::Services services() { return client().services(); }
  void be_berth() {
    server.when("GET", "/version")
        .reply(http::reply(200, "application/json", R"({"version":"0.1.0","berth_api":"v1"})"));
  }
  void be_docker() {
    server.when("GET", "/version")
        .reply(http::reply(200, "application/json", R"({"version":"v1.1.0"})"));
  }
  void answer(const char* method, const char* pattern, const std::string& body, int status = 200) {
    server.when(method, pattern).reply(http::reply(status, "application/json", body));
  }
  Recorded last() const { return server.requests().back(); }
};

TEST(Address, Forms) {
  rt::Loop loop{1};
  for (const char* url :
       {"http://127.0.0.1:12434", "127.0.0.1:12434", "https://example.com/prefix/",
        "unix:///run/x.sock", "unix:/run/x.sock", "http://[::1]:1"}) {
    EXPECT_TRUE(Client::connect(loop, {.url = url})) << url;
  }
  for (const char* url : {"", "unix://", "unix:relative", "ftp://x", "http://", "http://a b"}) {
    const auto client = Client::connect(loop, {.url = url});
    ASSERT_FALSE(client) << url;
    EXPECT_EQ(client.error().code(), Code::kInvalid) << url;
  }
}

TEST(Address, WhetherSomebodyListens) {
  EXPECT_FALSE(answers("/nonexistent/berth.sock"));
  EXPECT_FALSE(answers("/" + std::string(200, 'x')));
  EXPECT_FALSE(answers("/tmp"));
}

TEST(Address, NobodyThereIsUnavailable) {
  rt::Loop loop{1};
  auto client = Client::connect(loop, {.url = "unix:///nonexistent/berth.sock"}).value();
  rt::Op op("test");
  const auto ps = loop.run(client->services().runs.ps(op));
  ASSERT_FALSE(ps);
  EXPECT_EQ(ps.error().code(), Code::kUnavailable);
  EXPECT_NE(ps.error().message().find("/nonexistent/berth.sock"), std::string::npos);
}

TEST(Errors, StatusesAndBodies) {
  const std::pair<int, Code> rows[] = {
      {400, Code::kInvalid},     {401, Code::kUnauthenticated}, {403, Code::kDenied},
      {404, Code::kNotFound},    {409, Code::kConflict},        {412, Code::kUnsupported},
      {418, Code::kInvalid},     {422, Code::kUnsupported},     {429, Code::kRateLimited},
      {500, Code::kUnavailable}, {502, Code::kUnavailable},     {503, Code::kUnavailable},
      {504, Code::kTimeout},     {507, Code::kExhausted}};
  for (const auto& [status, code] : rows)
    EXPECT_EQ(error_of(status, {}, "text\n").code(), code) << status;
  EXPECT_EQ(error_of(404, {}, "no model x\n").message(), "no model x");
  EXPECT_EQ(error_of(400, {}, R"({"error":{"message":"bad"}})").message(), "bad");
  EXPECT_EQ(error_of(400, {}, R"({"error":"worse"})").message(), "worse");
  EXPECT_NE(error_of(400, {}, "").message(), "");
  EXPECT_EQ(error_of(400, {}, "\x1b[2J").message(), "\\x1b[2J");
  EXPECT_EQ(error_of(429, {{"Retry-After", "7"}}, "").retry_after(), std::chrono::seconds(7));
  EXPECT_FALSE(error_of(429, {{"Retry-After", "soon"}}, "").retry_after());
}

TEST_F(ClientTest, ModelsOfEitherServer) {
  answer("GET", "/models", "[" + kModel + "]");
  const auto models = loop.run(services().models.list(op));
  ASSERT_TRUE(models) << models.error().message();
  EXPECT_EQ(models->front().id, kId);
  EXPECT_EQ(models->front().created.time_since_epoch().count(), 1'700'000'000);
  EXPECT_EQ(last().headers.get("Authorization"), "Bearer tok");
}

TEST_F(ClientTest, APrefixOfTheServerIsKept) {
  prefix = "/exp/vDD4.40/";
  answer("GET", "/exp/vDD4.40/models", "[]");
  EXPECT_TRUE(loop.run(services().models.list(op)));
}

TEST_F(ClientTest, BerthShowsAndRemovesMore) {
  be_berth();
  answer("GET", "/berth/v1/models/ai/m",
         kModel.substr(0, kModel.size() - 1) + R"(,"config_digest":"sha256:c"})");
  const auto detail = loop.run(services().models.inspect(op, "ai/m", false));
  ASSERT_TRUE(detail) << detail.error().message();
  EXPECT_EQ(detail->config_digest, "sha256:c");
  answer("DELETE", "/berth/v1/models/ai/m",
         R"({"removed":[{"Untagged":"a"},{"Deleted":"b"}],"freed":9})");
  const auto removed = loop.run(services().models.remove(op, "ai/m", true));
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(removed->freed, 9u);
  EXPECT_EQ(removed->removed.at(1).kind, "Deleted");
  EXPECT_EQ(last().url.query, "force=true");
  answer("POST", "/berth/v1/prune",
         R"({"dry_run":true,"blobs":["sha256:a"],"ingests":[],"freed":3})");
  EXPECT_EQ(loop.run(services().models.prune(op, true))->freed, 3u);
  EXPECT_EQ(server.count("GET", "/version"), 1u) << "asked once";
}

TEST_F(ClientTest, DockersServerIsAskedInItsOwnWords) {
  be_docker();
  answer("GET", "/models/ai/m", kModel);
  EXPECT_TRUE(loop.run(services().models.inspect(op, "ai/m", true)));
  EXPECT_EQ(last().url.query, "remote=true");
  answer("DELETE", "/models/ai/m", R"([{"Untagged":"docker.io/ai/m:latest"}])");
  EXPECT_EQ(loop.run(services().models.remove(op, "ai/m", false))->removed.front().kind,
            "Untagged");
  server.when("DELETE", "/models/purge").reply(200);
  EXPECT_TRUE(loop.run(services().models.purge(op)));
  const auto prune = loop.run(services().models.prune(op, true));
  ASSERT_FALSE(prune);
  EXPECT_EQ(prune.error().code(), Code::kUnsupported);
}

TEST_F(ClientTest, TagSendsTheWholeReference) {
  answer("POST", "/models/{name...}/tag", R"({"message":"","target":""})", 201);
  EXPECT_EQ(loop.run(services().models.tag(op, "ai/m", "mine:v2")).value(), "docker.io/ai/mine:v2");
  EXPECT_EQ(http::query_get(last().url.query, "repo"), "docker.io/ai/mine");
  EXPECT_EQ(http::query_get(last().url.query, "tag"), "v2");
}

TEST_F(ClientTest, PullFollowsTheProgressOfBerth) {
  answer(
      "POST", "/models/create",
      R"({"type":"progress","message":"","total":20,"layer":{"id":"sha256:a","size":20,"current":5},"mode":"pull"})"
      "\n"
      R"({"type":"novelty"})"
      "\n"
      R"({"type":"progress","message":"","total":20,"layer":{"id":"sha256:a","size":20,"current":20},"mode":"pull"})"
      "\n"
      R"({"type":"warning","message":"old"})"
      "\n"
      R"({"type":"success","message":"Model pulled successfully","result":{"reference":"r","digest":"d","id":"i","size":20}})"
      "\n");
  const auto pulled = loop.run(services().transfers.pull(
      op, {.model = "ai/m", .bearer_token = "hf", .platform = ""}, collected));
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(pulled->digest, "d");
  EXPECT_EQ(last().body, R"({"from":"ai/m","bearer-token":"hf"})");
  EXPECT_EQ(collected.told,
            (std::vector<std::string>{"6  0/20", "2 layer 5/20", "3 layer 20/20", "1 old 0/0"}));
}

TEST_F(ClientTest, PullFromDockersServerAsksForTheId) {
  be_docker();
  answer("POST", "/models/create",
         "{&#34;type&#34;:&#34;success&#34;,&#34;message&#34;:&#34;Using cached model: 1 &lt; "
         "2&#34;}\n");
  answer("GET", "/models/ai/m", kModel);
  const auto pulled = loop.run(services().transfers.pull(op, {.model = "ai/m"}, collected));
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(pulled->id, kId);
  EXPECT_EQ(pulled->reference, "docker.io/ai/m:latest");
  EXPECT_TRUE(pulled->cached);
}

TEST_F(ClientTest, SomeFilesArePulledByBerthAlone) {
  be_berth();
  answer(
      "POST", "/models/create",
      R"({"type":"success","message":"","result":{"reference":"r","digest":"d","id":"i","left_out":2}})"
      "\n");
  const auto pulled = loop.run(services().transfers.pull(
      op, {.model = "ai/m", .include = {"*.json", "onnx/**"}}, collected));
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_EQ(pulled->left_out, 2u);
  EXPECT_EQ(last().body, R"({"from":"ai/m","include":["*.json","onnx/**"]})");
}

// It would fetch everything.
TEST_F(ClientTest, DockersServerIsNotAskedForSomeFiles) {
  be_docker();
  const auto refused =
      loop.run(services().transfers.pull(op, {.model = "ai/m", .include = {"*.json"}}, collected));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_EQ(server.count("POST", "/models/create"), 0u);
}

TEST_F(ClientTest, FailuresOfAPull) {
  const struct {
    std::string body;
    Code code;
    std::string contains;
  } rows[] = {{"{\"type\":\"error\",\"message\":\"wrong bytes\",\"code\":\"digest_mismatch\"}\n",
               Code::kDigestMismatch, "wrong bytes"},
              {"{\"type\":\"error\",\"message\":\"no\"}\n", Code::kUnavailable, "no"},
              {"{\"type\":\"progress\",\"message\":\"x\"}\n", Code::kUnavailable, "in the middle"},
              {"plain words\n", Code::kUnavailable, "plain words"},
              {"", Code::kUnavailable, "in the middle"},
              {"{\"type\":7}\n", Code::kInvalid, "type"},
              {std::string(70'000, 'x'), Code::kTooLarge, "64 KiB"}};
  for (const auto& row : rows) answer("POST", "/models/create", row.body);
  for (const auto& row : rows) {
    const auto pulled = loop.run(services().transfers.pull(op, {.model = "ai/m"}, collected));
    ASSERT_FALSE(pulled) << row.body.substr(0, 60);
    EXPECT_EQ(pulled.error().code(), row.code) << pulled.error().message();
    EXPECT_NE(pulled.error().message().find(row.contains), std::string::npos)
        << pulled.error().message();
  }
}

TEST_F(ClientTest, ARefusedPullHasItsCode) {
  server.when("POST", "/models/create").reply(http::reply(401, "text/plain", "log in first\n"));
  const auto pulled = loop.run(services().transfers.pull(op, {.model = "ai/m"}, collected));
  EXPECT_EQ(pulled.error().code(), Code::kUnauthenticated);
  EXPECT_EQ(pulled.error().message(), "log in first");
}

struct Text : rt::Reader {
  explicit Text(std::string content) : text(std::move(content)) {}
  std::string text;
  rt::Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t count = std::min(into.size(), text.size());
    std::memcpy(into.data(), text.data(), count);
    text.erase(0, count);
    co_return count;
  }
};

TEST_F(ClientTest, ContentsTravelAndPathsDoNot) {
  answer("POST", "/models/load",
         R"({"type":"success","message":"Model loaded successfully","models":["x"]})"
         "\n");
  Text tar(std::string(300'000, 't'));
  const auto loaded = loop.run(services().transfers.import_tar(op, tar, collected));
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->front(), "x");
  EXPECT_EQ(last().body.size(), 300'000u);
  const auto packaged = loop.run(
      services().transfers.package(op, {.target = "ai/x", .gguf = "/etc/passwd"}, collected));
  EXPECT_EQ(packaged.error().code(), Code::kUnsupported);
  EXPECT_EQ(server.requests().size(), 1u);
}

rt::Task<Result<std::string>> export_all(rt::Op& op, control::Transfers& transfers) {
  CO_TRY(auto reader, co_await transfers.export_tar(op, "ai/m"));
  co_return co_await http::read_all(op, http::Body(std::move(reader), std::nullopt), 1 << 20);
}

TEST_F(ClientTest, ExportIsAStream) {
  server.when("GET", "/models/ai/m/export").reply(http::reply(200, "application/x-tar", "the tar"));
  EXPECT_EQ(loop.run(export_all(op, services().transfers)).value(), "the tar");
}

TEST_F(ClientTest, WhatRuns) {
  answer(
      "GET", "/engines/ps",
      R"([{"backend_name":"llama.cpp","model_name":"m","mode":"completion","in_use":false,"keep_alive":"5m0s"}])");
  const auto ps = loop.run(services().runs.ps(op));
  ASSERT_TRUE(ps) << ps.error().message();
  EXPECT_EQ(ps->front().keep_alive, std::chrono::minutes(5));
  answer("POST", "/engines/unload", R"({"unloaded_runners":2})");
  EXPECT_EQ(
      loop.run(services().runs.unload(op, {.all = true, .backend = "", .models = {}})).value(), 2u);
  server.when("POST", "/engines/_configure").reply(202);
  EXPECT_TRUE(
      loop.run(services().runs.configure(op, {.model = "ai/m", .mode = "", .context_size = 512})));
  EXPECT_EQ(last().body, R"({"model":"ai/m","context-size":512})");
}

TEST_F(ClientTest, StatusOfBothKinds) {
  be_docker();
  answer("GET", "/engines/status",
         R"({"llama.cpp":"Running: llama.cpp b1","vllm":"Not Installed"})");
  const auto status = loop.run(services().system.status(op));
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_TRUE(status->running);
  EXPECT_EQ(status->backends.at(0).details, "llama.cpp b1");
  EXPECT_EQ(status->backends.at(1).state, "Not Installed");
  EXPECT_EQ(loop.run(services().system.server_version(op)).value(), "v1.1.0");
  answer("GET", "/engines/df", R"({"models_disk_usage":5,"default_backend_disk_usage":6})");
  EXPECT_EQ(loop.run(services().system.df(op))->models, 5u);
}

void stream(http::Imposter& server, const std::string& events) {
  http::Response response = http::reply(200, "text/event-stream", events);
  response.headers.set("X-Berth-Load-Ms", "40");
  response.headers.set("X-Berth-Device", "CPU");
  server.when("POST", "/engines/v1/chat/completions").reply(std::move(response));
}

TEST_F(ClientTest, ChatStreamsAndCounts) {
  stream(server,
         "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
         "data: {\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}\n\n"
         "data: {\"choices\":[{\"delta\":{\"content\":\"is\"},\"finish_reason\":\"stop\"}]}\n\n"
         "data: "
         "{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2},\"timings\":{"
         "\"predicted_per_second\":50.5}}\n\n"
         "data: [DONE]\n\n");
  control::ChatRequest request{.model = "ai/m"};
  request.messages.push_back(json::Object{{"role", "user"}, {"content", "hi"}});
  request.options.temperature = 0;
  request.no_sandbox = true;
  const auto stats = loop.run(services().runs.chat(op, std::move(request), collected));
  ASSERT_TRUE(stats) << stats.error().message();
  EXPECT_EQ(collected.content, "Paris");
  EXPECT_EQ(collected.reasoning, "hm");
  EXPECT_NE(collected.status.find("--no-sandbox"), std::string::npos);
  EXPECT_EQ(stats->load, std::chrono::milliseconds(40));
  EXPECT_EQ(stats->device, "CPU");
  EXPECT_EQ(stats->completion_tokens, 2u);
  EXPECT_EQ(stats->tokens_per_second, 50.5);
  EXPECT_EQ(stats->finish_reason, "stop");
  EXPECT_NE(last().body.find(R"("temperature":0)"), std::string::npos) << last().body;
}

TEST_F(ClientTest, AChatThatBreaksOffIsAnError) {
  stream(server, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
  stream(server, "data: {\"error\":{\"message\":\"the engine ended: boom\"}}\n\n");
  stream(server, "data: nonsense\n\n");
  const auto cut = loop.run(services().runs.chat(op, {.model = "ai/m"}, collected));
  EXPECT_EQ(cut.error().code(), Code::kUnavailable);
  const auto broken = loop.run(services().runs.chat(op, {.model = "ai/m"}, collected));
  EXPECT_NE(broken.error().message().find("boom"), std::string::npos) << broken.error().message();
  EXPECT_FALSE(loop.run(services().runs.chat(op, {.model = "ai/m"}, collected)));
}

TEST_F(ClientTest, PreloadAsksForNothing) {
  http::Response loaded;
  loaded.headers.set("X-Berth-Load-Ms", "99");
  server.when("POST", "/engines/v1/chat/completions").reply(std::move(loaded));
  const auto stats =
      loop.run(services().runs.chat(op, {.model = "ai/m", .preload_only = true}, collected));
  ASSERT_TRUE(stats) << stats.error().message();
  EXPECT_EQ(stats->load, std::chrono::milliseconds(99));
  EXPECT_EQ(last().headers.get("X-Preload-Only"), "true");
}

TEST_F(ClientTest, AContextSizeOfOnesOwnNeedsBerth) {
  be_docker();
  control::ChatRequest request{.model = "ai/m"};
  request.options.context_size = 512;
  EXPECT_EQ(loop.run(services().runs.chat(op, request, collected)).error().code(),
            Code::kUnsupported);
}

}  // namespace
}  // namespace berth::client
