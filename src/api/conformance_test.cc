// Every endpoint of Docker Model Runner in the facts (2.1-2.3), with its status, body and content
// type.
#include <gtest/gtest.h>

#include "api/fakes.h"

namespace berth::api {
namespace {

using fakes::kId;

struct Case {
  const char* method;
  const char* target;
  const char* body;
  int status;
  const char* type;      // how Content-Type starts; "" for none
  std::string contains;  // of the body; "" for an empty body, "*" for any
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.method << " " << one.target;
}

struct Conformance : fakes::ApiTest, testing::WithParamInterface<Case> {};

TEST_P(Conformance, StatusTypeAndBody) {
  const Case& one = GetParam();
  engines.answer("application/json", {{.text = R"({"model":"/files/model.gguf","choices":[]})"}});
  const auto got = send(one.method, one.target, one.body);
  EXPECT_EQ(got.status, one.status) << got.body;
  if (std::string_view(one.type).empty()) {
    EXPECT_EQ(got.header("Content-Type"), "");
  } else {
    EXPECT_TRUE(got.header("Content-Type").starts_with(one.type)) << got.header("Content-Type");
  }
  if (one.contains.empty()) EXPECT_EQ(got.body, "");
  if (!one.contains.empty() && one.contains != "*")
    EXPECT_NE(got.body.find(one.contains), std::string::npos) << got.body;
}

const std::string kChat = R"({"model":"ai/m","messages":[]})";

INSTANTIATE_TEST_SUITE_P(
    Management, Conformance,
    testing::Values(
        Case{"GET", "/models", "", 200, "application/json",
             "[{\"id\":\"" + kId + "\",\"tags\":[\"docker.io/ai/m:latest\""},
        Case{"GET", "/models", "", 200, "application/json",
             "\"created\":1700000000,\"config\":{\"format\":\"gguf\""},
        Case{"GET", "//models", "", 200, "application/json", "[{\"id\""},
        Case{"GET", "/exp/vDD4.40/models", "", 200, "application/json", "[{\"id\""},
        Case{"GET", "/models/ai/m", "", 200, "application/json", "{\"id\":\"sha256:"},
        Case{"GET", "/models/other", "", 200, "application/json", "registry.example/team/other:v1"},
        Case{"GET", "/models/other:v1", "", 200, "application/json",
             "registry.example/team/other:v1"},
        Case{"GET", "/models/ai/x?remote=true", "", 200, "application/json", "\"tags\":[]"},
        Case{"GET", "/models/nope", "", 404, "text/plain", "no model nope here"},
        Case{"GET", "/models/ai/m/export", "", 200, "application/x-tar", "tar of ai/m"},
        Case{"GET", "/models/nope/export", "", 404, "text/plain", "no model nope here"},
        Case{"POST", "/models/create", R"({"from":"ai/m"})", 200, "text/plain",
             "Model pulled successfully"},
        Case{"POST", "/models/create", "{}", 400, "text/plain", "\"from\""},
        Case{"POST", "/models/create", "{", 400, "text/plain", "*"},
        Case{"POST", "/models/create", "[]", 400, "text/plain", "*"},
        Case{
            "POST", "/models/ai/m/tag?repo=docker.io/ai/n&tag=v2", "", 201, "application/json",
            R"({"message":"Model tagged successfully with \"docker.io/ai/n:v2\"","target":"docker.io/ai/n:v2"})"},
        Case{"POST", "/models/ai/m/tag?repo=ai/n", "", 400, "text/plain", "\"tag\""},
        Case{"POST", "/models/nope/tag?repo=ai/n&tag=v2", "", 404, "text/plain",
             "no model nope here"},
        Case{"POST", "/models/ai/m/push", "", 200, "text/plain", "Model pushed successfully"},
        Case{"POST", "/models/ai/m/repackage", R"({"target":"ai/big","context_size":8192})", 201,
             "application/json", R"("source":"ai/m","target":"ai/big")"},
        Case{"POST", "/models/missing/repackage", R"({"target":"ai/big"})", 404, "text/plain", "*"},
        Case{"POST", "/models/ai/m/repackage", "{}", 400, "text/plain", "\"target\""},
        Case{"DELETE", "/models/ai/m", "", 200, "application/json",
             R"([{"Untagged":"docker.io/ai/m:latest"},)"},
        Case{"DELETE", "/models/nope", "", 404, "text/plain", "no model nope here"},
        Case{"DELETE", "/models/purge", "", 200, "", ""}));

INSTANTIATE_TEST_SUITE_P(
    Engines, Conformance,
    testing::Values(
        Case{"GET", "/engines/status", "", 200, "application/json",
             R"({"llama.cpp":"Running: llama.cpp b1","vllm":"Not Installed"})"},
        Case{"GET", "/engines/ps", "", 200, "application/json", "[]"},
        Case{"GET", "/engines/df", "", 200, "application/json",
             R"({"models_disk_usage":5,"default_backend_disk_usage":3)"},
        Case{"POST", "/engines/unload", R"({"models":["a","b"]})", 200, "application/json",
             R"({"unloaded_runners":2})"},
        Case{"POST", "/engines/_configure", R"({"model":"ai/m","context-size":4096})", 202, "", ""},
        Case{"POST", "/engines/llama.cpp/_configure", R"({"model":"ai/m"})", 202, "", ""},
        Case{"POST", "/engines/nope/_configure", R"({"model":"ai/m"})", 404, "text/plain",
             "there is no backend"},
        Case{"POST", "/engines/_configure", "{}", 400, "text/plain", "model"},
        Case{"GET", "/engines/_configure?model=ai/m", "", 200, "application/json", "[]"},
        Case{"POST", "/engines/install-backend", R"({"backend":"llama.cpp"})", 200, "", ""},
        Case{"POST", "/engines/install-backend", R"({"backend":"nope"})", 404, "text/plain", "*"},
        Case{"POST", "/engines/install-backend", R"({"backend":"vllm"})", 404, "text/plain", "*"},
        Case{"POST", "/engines/uninstall-backend", R"({"backend":"llama.cpp"})", 200, "", ""},
        Case{"GET", "/engines/requests", "", 404, "text/plain", "not recorded"},
        Case{"GET", "/", "", 200, "text/plain", "Docker Model Runner is running"},
        Case{"GET", "/version", "", 200, "application/json", R"({"version":"0.1.0")"},
        Case{"GET", "/health", "", 200, "application/json", "ok"},
        Case{"GET", "/logs", "", 200, "text/plain", "follow=false engines=true"},
        Case{"GET", "/logs?follow=true&no-engines=true", "", 200, "text/plain",
             "follow=true engines=false"},
        Case{"GET", "/metrics", "", 200, "text/plain; version=0.0.4",
             R"(llamacpp:n{backend="llama.cpp",mode="completion",model="m"} 4)"},
        Case{"GET", "/nowhere", "", 404, "text/plain", "not found"},
        Case{"PUT", "/models", "", 405, "text/plain", "*"}));

INSTANTIATE_TEST_SUITE_P(
    Inference, Conformance,
    testing::Values(
        Case{"POST", "/engines/v1/chat/completions", kChat.c_str(), 200, "application/json",
             R"("model":"ai/m")"},
        Case{"POST", "/engines/llama.cpp/v1/chat/completions", kChat.c_str(), 200,
             "application/json", "choices"},
        Case{"POST", "/engines/vllm/v1/chat/completions", kChat.c_str(), 200, "application/json",
             "choices"},
        Case{"POST", "/engines/nope/v1/chat/completions", kChat.c_str(), 404, "application/json",
             "there is no backend"},
        Case{"POST", "/v1/chat/completions", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/v1/completions", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/engines/v1/completions", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/v1/embeddings", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/rerank", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/v1/rerank", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/engines/rerank", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/engines/llama.cpp/rerank", kChat.c_str(), 200, "application/json",
             "choices"},
        Case{"POST", "/score", kChat.c_str(), 501, "application/json", "not in this version"},
        Case{"POST", "/engines/v1/images/generations", kChat.c_str(), 501, "application/json",
             "not in this version"},
        Case{"POST", "/v1/messages", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/anthropic/v1/messages", kChat.c_str(), 200, "application/json", "choices"},
        Case{"POST", "/anthropic/v1/messages", "{}", 400, "application/json",
             R"({"type":"error","error":{"message")"},
        Case{"POST", "/v1/responses", kChat.c_str(), 501, "application/json",
             R"({"error":{"message":"/v1/responses)"},
        Case{"GET", "/engines/v1/responses/resp_1", "", 501, "application/json",
             "not in this version"},
        Case{"POST", "/api/chat", kChat.c_str(), 501, "application/json", "not in this version"},
        Case{"POST", "/v1/chat/completions", "{}", 400, "application/json",
             R"({"error":{"message":"model is required)"},
        Case{"POST", "/v1/chat/completions", "not json", 400, "application/json",
             R"("type":"invalid_request_error")"},
        Case{"GET", "/v1/models", "", 200, "application/json",
             R"({"object":"list","data":[{"id":"docker.io/ai/m:latest")"},
        Case{"GET", "/engines/v1/models", "", 200, "application/json", R"("object":"model")"},
        Case{"GET", "/engines/llama.cpp/v1/models", "", 200, "application/json", "\"list\""},
        Case{"GET", "/v1/models/ai/m", "", 200, "application/json",
             R"({"id":"docker.io/ai/m:latest","object":"model")"},
        Case{"GET", "/v1/models/nope", "", 404, "application/json", R"("code":"not_found")"}));

INSTANTIATE_TEST_SUITE_P(
    Berth, Conformance,
    testing::Values(
        Case{"GET", "/berth/v1/status", "", 200, "application/json", "llama.cpp"},
        Case{"GET", "/berth/v1/models/ai/m", "", 200, "application/json", "manifest_digest"},
        Case{"GET", "/berth/v1/models/nope", "", 404, "text/plain", "no model"},
        Case{"DELETE", "/berth/v1/models/ai/m", "", 200, "application/json", "\"freed\":91"},
        Case{"POST", "/berth/v1/purge", "", 200, "application/json", "removed"},
        Case{"POST", "/berth/v1/prune?dry_run=true", "", 200, "application/json",
             R"({"dry_run":true)"},
        Case{"GET", "/berth/v1/settings", "", 200, "application/json", "engine.gpu"}));

struct ApiMore : fakes::ApiTest {};

TEST_F(ApiMore, DeletingByIdWithSeveralTagsMustBeForced) {
  const auto refused = send("DELETE", "/models/" + kId);
  EXPECT_EQ(refused.status, 409);
  EXPECT_NE(refused.body.find("(must be forced) due to multiple tag references"),
            std::string::npos);
  EXPECT_EQ(send("DELETE", "/models/" + kId + "?force=true").status, 200);
}

TEST_F(ApiMore, AModelMayBeCalledExport) {
  models.kept.front().tags = {"nope/export"};
  const auto got = send("GET", "/models/nope/export");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.header("Content-Type"), "application/json");
}

TEST_F(ApiMore, LoadReadsTheWholeTar) {
  auto load = request("POST", "/models/load");
  load.headers.set("Content-Type", "application/x-tar");
  load.body =
      http::Body(std::make_unique<fakes::TextReader>("a tar with many bytes"), std::nullopt);
  const auto got = send(std::move(load));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(transfers.imported, "a tar with many bytes");
  EXPECT_NE(got.body.find(R"({"type":"success","message":"Model loaded successfully")"),
            std::string::npos);
  EXPECT_EQ(send("POST", "/models/load").status, 400);
  for (const char* text : {"junk", "torn"}) {
    transfers.imported.clear();
    auto bad = request("POST", "/models/load");
    bad.body = http::Body(std::make_unique<fakes::TextReader>(text), std::nullopt);
    EXPECT_EQ(send(std::move(bad)).status, 400) << text;
  }
}

TEST_F(ApiMore, AConfigurationOfARunningModelConflicts) {
  runs.refusal = Error(Code::kConflict, "it runs");
  EXPECT_EQ(send("POST", "/engines/_configure", R"({"model":"ai/m"})").status, 409);
}

TEST_F(ApiMore, ConfigurationsAreListedCapitalised) {
  send("POST", "/engines/_configure",
       R"({"model":"ai/m","context-size":4096,"mode":"completion"})");
  const auto got = send("GET", "/engines/_configure");
  EXPECT_NE(got.body.find(R"([{"Backend":"llama.cpp","Model":"ai/m","ModelID":")"),
            std::string::npos)
      << got.body;
  EXPECT_NE(got.body.find(R"("Config":{)"), std::string::npos) << got.body;
}

TEST_F(ApiMore, EveryAnswerSaysWhoServes) {
  EXPECT_TRUE(send("GET", "/models").header("Server").starts_with("berth/"));
}

}  // namespace
}  // namespace berth::api
