#include <array>
#include <gtest/gtest.h>

#include "api/fakes.h"
#include "api/json_scan.h"

namespace berth::api {
namespace {

constexpr const char* kEvents = "text/event-stream";
const std::string kBody =
    R"({ "messages":[{"content":"\"model\":\"x\""}], "model" : "ai/m", "seed": 1.0e2 })";

struct Inference : fakes::ApiTest {
  fakes::Got chat() { return send("POST", "/v1/chat/completions", kBody); }
};

TEST(JsonScan, FindsTheTopLevelMemberOnly) {
  EXPECT_EQ(top_level_string(R"({"a":{"model":"no"},"b":["model",{"model":"no"}],"model":"yes"})",
                             "model")
                ->value(),
            "yes");
  EXPECT_EQ(top_level_string(R"({"model":"a\"b\u00e9"})", "model")->value(), "a\"b\xc3\xa9");
  EXPECT_EQ(top_level_string(R"({"mod\u0065l":"x"})", "model")->value(), "x");
  EXPECT_FALSE(top_level_string(R"({"models":"x"})", "model")->has_value());
  EXPECT_FALSE(top_level_string("{}", "model")->has_value());
}

TEST(JsonScan, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1}x",
                           "{\"a\":\"", "{\"a\":[1}", "null", "{\"model\":1}", "{\"model\":null}",
                           "{\"model\":\"a\",\"model\":\"b\"}", "{\"a\":1,}"}) {
    EXPECT_FALSE(top_level_string(text, "model")) << text;
  }
  EXPECT_FALSE(top_level_string("{\"a\":" + std::string(100'000, '[') + "}", "model"));
}

TEST(JsonScan, ReplacesOnlyTheKey) {
  std::string text =
      R"({"choices":[{"delta":{"content":"\"model\":\"x\""}}],"model":"/srv/m.gguf","id":"1"})";
  replace_model(text, json_quoted("a\"b"));
  EXPECT_EQ(text,
            R"({"choices":[{"delta":{"content":"\"model\":\"x\""}}],"model":"a\"b","id":"1"})");
  std::string none = R"({"object":"list"})";
  replace_model(none, json_quoted("m"));
  EXPECT_EQ(none, R"({"object":"list"})");
  std::string cut = R"({"model":"unfinis)";
  replace_model(cut, json_quoted("m"));
  EXPECT_EQ(cut, R"({"model":"unfinis)");
}

TEST(JsonScan, Numbers) {
  EXPECT_EQ(last_number(R"({"n":1,"n":23,"m":4})", "n"), 23u);
  EXPECT_EQ(last_number(R"({"n": 7})", "n"), 7u);
  EXPECT_FALSE(last_number(R"({"n":-1})", "n"));
  EXPECT_FALSE(last_number(R"({"n":"1"})", "n"));
  EXPECT_FALSE(last_number("", "n"));
}

TEST_F(Inference, TheBodyGoesOnUnchanged) {
  engines.answer(
      "application/json",
      {{.text = R"({"model":"/x.gguf","usage":{"prompt_tokens":5,"completion_tokens":7}})"}});
  const auto got = chat();
  ASSERT_EQ(got.status, 200) << got.body;
  ASSERT_EQ(engines.seen.size(), 1u);
  EXPECT_EQ(engines.seen[0].path, "/v1/chat/completions");
  EXPECT_EQ(engines.seen[0].body, kBody);
  EXPECT_EQ(got.body, R"({"model":"ai/m","usage":{"prompt_tokens":5,"completion_tokens":7}})");
  EXPECT_EQ(got.header("X-Berth-Load-Ms"), "12");
  EXPECT_EQ(engines.held, 0);
  const std::string text = metrics.text();
  EXPECT_NE(text.find(R"(berth_tokens_total{kind="completion",model="m"} 7)"), std::string::npos)
      << text;
  EXPECT_NE(text.find(R"(route="/v1/chat/completions",status="200"} 1)"), std::string::npos)
      << text;
}

TEST_F(Inference, EachPathHasItsModeAndItsBackend) {
  engines.answer("application/json", {{.text = "{}"}});
  send("POST", "/v1/embeddings", kBody);
  send("POST", "/engines/llama.cpp/v1/rerank", kBody);
  send("POST", "/engines/rerank", kBody);
  EXPECT_EQ(engines.acquired, (std::vector<std::string>{"ai/m 1 ", "ai/m 2 llama.cpp", "ai/m 2 "}));
  EXPECT_EQ(engines.seen[2].path, "/v1/rerank");
}

TEST_F(Inference, EventsComeOneByOneWithTheNameThatWasAskedFor) {
  engines.answer(kEvents,
                 {{.text = "data: {\"choices\":[],\"model\":\"/x.gguf\"}\n\ndata: {\"mod"},
                  {.text = "el\":\"/x.gguf\",\"timings\":{\"prompt_n\":3,\"predicted_n\":9}}\n\n"},
                  {.text = "data: [DONE]\n\n"}});
  const auto got = chat();
  EXPECT_EQ(got.header("Content-Type"), kEvents);
  EXPECT_EQ(got.body,
            "data: {\"choices\":[],\"model\":\"ai/m\"}\n\n"
            "data: {\"model\":\"ai/m\",\"timings\":{\"prompt_n\":3,\"predicted_n\":9}}\n\n"
            "data: [DONE]\n\n");
  EXPECT_EQ(engines.held, 0);
  EXPECT_NE(metrics.text().find(R"(berth_tokens_total{kind="completion",model="m"} 9)"),
            std::string::npos);
}

TEST_F(Inference, AnEventIsSentBeforeTheNextOneIsThere) {
  engines.answer(kEvents, {{.text = "data: {\"n\":1}\n\ndata: {\"n\""}, {.hang = true}});
  rt::Op op("test");
  auto response = loop.run(api().handle(op, request("POST", "/v1/chat/completions", kBody)));
  ASSERT_TRUE(response);
  auto& reader = std::get<std::unique_ptr<rt::Reader>>(response->body.content);
  std::array<std::byte, 100> chunk;
  const auto count = loop.run(reader->read(op, chunk));
  ASSERT_TRUE(count);
  EXPECT_EQ(as_text(Bytes(chunk).first(*count)), "data: {\"n\":1}\n\n");
}

TEST_F(Inference, ACallerWhoLeavesStopsTheGeneration) {
  bool gone = false;
  engines.answer(kEvents, {{.text = "data: 1\n\n"}, {.hang = true}}, [&gone] { gone = true; });
  rt::Op op("test");
  auto response = loop.run(api().handle(op, request("POST", "/v1/chat/completions", kBody)));
  ASSERT_TRUE(response);
  EXPECT_EQ(engines.held, 1);
  gone = false;  // the script's own copies are gone by now
  response = http::Response();
  EXPECT_TRUE(gone);
  EXPECT_EQ(engines.held, 0);
}

TEST_F(Inference, AnEngineThatDiesBeforeItAnswersIsReplacedOnce) {
  engines.die("connection reset");
  engines.answer("application/json", {{.text = "{}"}});
  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(engines.acquired.size(), 2u);
  EXPECT_EQ(engines.seen[0].body, engines.seen[1].body);
}

TEST_F(Inference, TheSecondDeathIsReportedWithItsLog) {
  engines.die("connection reset");
  engines.death = "the engine of ai/m ended: killed by signal 11; its last lines: ggml: boom";
  const auto got = chat();
  EXPECT_EQ(got.status, 502);
  EXPECT_NE(got.body.find("ggml: boom"), std::string::npos) << got.body;
  EXPECT_EQ(engines.acquired.size(), 2u);
}

TEST_F(Inference, AStreamThatDiesBeforeItsFirstByteIsAskedAgain) {
  engines.answer(kEvents, {{.error = Error(Code::kUnavailable, "cut short")}});
  engines.answer(kEvents, {{.text = "data: [DONE]\n\n"}});
  EXPECT_EQ(chat().body, "data: [DONE]\n\n");
}

TEST_F(Inference, AStreamThatDiesLaterEndsWithAnErrorEvent) {
  engines.answer(kEvents, {{.text = "data: {\"n\":1}\n\ndata: {\"half"},
                           {.error = Error(Code::kUnavailable, "cut short")}});
  engines.death = "the engine ended: out of memory";
  const auto got = chat();
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.body.starts_with("data: {\"n\":1}\n\n"));
  EXPECT_NE(
      got.body.find(
          R"(data: {"error":{"message":"the engine ended: out of memory","type":"server_error")"),
      std::string::npos)
      << got.body;
  EXPECT_EQ(engines.seen.size(), 1u);
}

TEST_F(Inference, LoadingErrorsKeepTheirMeaning) {
  const std::tuple<Code, int, const char*> rows[] = {
      {Code::kNotFound, 404, "not_found_error"},
      {Code::kInvalid, 400, "invalid_request_error"},
      {Code::kExhausted, 507, "server_error"},
      {Code::kUnavailable, 502, "server_error"},
      {Code::kTimeout, 504, "server_error"},
      {Code::kUnsupported, 501, "invalid_request_error"}};
  for (const auto& [code, status, type] : rows) {
    engines.refusal = Error(code, "needs 9 GB, has 4 GB");
    const auto got = chat();
    EXPECT_EQ(got.status, status);
    EXPECT_NE(got.body.find(
                  fmt::format(R"({{"error":{{"message":"needs 9 GB, has 4 GB","type":"{}")", type)),
              std::string::npos)
        << got.body;
  }
  engines.refusal =
      Error(Code::kRateLimited, "too many wait").with_retry_after(std::chrono::seconds(3));
  const auto busy = chat();
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.header("Retry-After"), "3");
}

TEST_F(Inference, TheEnginesOwnRefusalsPassThrough) {
  engines.answers.push_back([](const http::Request&, const std::string&) -> Result<http::Response> {
    return http::reply(400, "application/json",
                       R"({"error":{"message":"bad template","code":400}})");
  });
  const auto got = chat();
  EXPECT_EQ(got.status, 400);
  EXPECT_EQ(got.body, R"({"error":{"message":"bad template","code":400}})");
}

TEST_F(Inference, PreloadLoadsAndAsksNothing) {
  auto preload = request("POST", "/engines/v1/chat/completions", kBody);
  preload.headers.set("X-Preload-Only", "true");
  const auto got = send(std::move(preload));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "");
  EXPECT_EQ(engines.acquired.size(), 1u);
  EXPECT_TRUE(engines.seen.empty());
}

TEST_F(Inference, ACallersOwnContextSizeReachesTheEngine) {
  engines.answer("application/json", {{.text = "{}"}});
  auto sized = request("POST", "/v1/chat/completions", kBody);
  sized.headers.set("X-Berth-Context-Size", "1024");
  EXPECT_EQ(send(std::move(sized)).status, 200);
  EXPECT_EQ(engines.acquired, (std::vector<std::string>{"ai/m 0  ctx 1024"}));
  auto wrong = request("POST", "/v1/chat/completions", kBody);
  wrong.headers.set("X-Berth-Context-Size", "-1");
  EXPECT_EQ(send(std::move(wrong)).status, 400);
}

TEST_F(Inference, AnOverlongBodyIsRefused) {
  options.max_body = 1000;
  const auto got =
      send("POST", "/v1/chat/completions", "{\"model\":\"" + std::string(2000, 'x') + "\"}");
  EXPECT_EQ(got.status, 413);
  EXPECT_TRUE(engines.acquired.empty());
}

TEST_F(Inference, NothingIsRecordedUnlessTurnedOn) {
  engines.answer("application/json", {{.text = "{}"}});
  chat();
  EXPECT_EQ(send("GET", "/engines/requests").status, 404);
  options.record_requests = true;
  api().reconfigure(options);
  EXPECT_EQ(send("GET", "/engines/requests").body, "[]");
}

TEST_F(Inference, RecordingsAreDockersJsonAndTheLastTen) {
  options.record_requests = true;
  engines.answer("application/json", {{.text = R"({"answer":1})"}});
  for (int i = 0; i < 12; ++i) chat();
  const auto got = send("GET", "/engines/requests?model=ai/m");
  EXPECT_TRUE(got.body.starts_with(
      R"([{"count":10,"model":"m","config":{},"records":[{"id":"3","model":"ai/m","method":"POST")"))
      << got.body;
  EXPECT_NE(got.body.find(R"("response":"{\"answer\":1}","error":"")"), std::string::npos)
      << got.body;
  EXPECT_NE(got.body.find(R"("status_code":200)"), std::string::npos);
  EXPECT_EQ(send("GET", "/engines/requests?model=other").body, "[]");
}

TEST_F(Inference, RecordingsCanBeFollowed) {
  options.record_requests = true;
  engines.answer("application/json", {{.text = "{}"}});
  chat();
  auto follow = request("GET", "/engines/requests?include_existing=true");
  follow.headers.set("Accept", "text/event-stream");
  rt::Op op("test");
  auto response = loop.run(api().handle(op, std::move(follow)));
  ASSERT_TRUE(response);
  auto& reader = std::get<std::unique_ptr<rt::Reader>>(response->body.content);
  std::array<std::byte, 4096> chunk;
  std::string text;
  for (int i = 0; i < 2; ++i)
    text += as_text(Bytes(chunk).first(loop.run(reader->read(op, chunk)).value()));
  EXPECT_TRUE(text.starts_with("event: connected\n")) << text;
  EXPECT_NE(text.find("event: existing_request\n"), std::string::npos) << text;
  chat();
  text = as_text(Bytes(chunk).first(loop.run(reader->read(op, chunk)).value()));
  EXPECT_TRUE(text.starts_with("event: new_request\n")) << text;
  api().end_following();
  EXPECT_EQ(loop.run(reader->read(op, chunk)).value(), 0u) << "a server that stops ends it";
}

TEST_F(Inference, ARecordedUrlIsTheOneThatWasRouted) {
  options.record_requests = true;
  engines.answer("application/json", {{.text = "{}"}});
  send("POST", "//engines//v1/chat/completions", R"({"model":"ai/m"})");
  const auto got = send("GET", "/engines/requests");
  EXPECT_NE(got.body.find(R"("url":"/engines/v1/chat/completions")"), std::string::npos)
      << got.body;
}

}  // namespace
}  // namespace berth::api
