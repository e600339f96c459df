#include "control/json.h"

#include <gtest/gtest.h>

namespace berth::control {
namespace {

using std::chrono::milliseconds;

json::Value parsed(std::string_view text) {
  auto value = json::parse(text, "test");
  EXPECT_TRUE(value) << value.error().message();
  return std::move(*value);
}

Model sample() {
  Model model;
  model.id = "sha256:" + std::string(64, 'a');
  model.tags = {"docker.io/ai/smollm2:latest"};
  model.created = Time(std::chrono::seconds(1700000000));
  model.format = "gguf";
  model.architecture = "llama";
  model.parameters = "134.52M";
  model.quantization = "Q4_1";
  model.context_size = 8192;
  model.size = 91739808;
  model.config = {{"format", "gguf"}, {"size", "91.7 MB"}};
  return model;
}

TEST(ControlJson, ModelHasDockersKeysFirstAndSurvivesARoundTrip) {
  const json::Value value(to_json(sample()));
  EXPECT_TRUE(json::serialize(value).starts_with(
      "{\"id\":\"sha256:" + std::string(64, 'a') +
      "\",\"tags\":[\"docker.io/ai/smollm2:latest\"],\"created\":1700000000,\"config\":{"));
  const auto back = model_from_json(json::View(value, "model"));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(json::serialize(to_json(*back)), json::serialize(value));
}

TEST(ControlJson, WhatIsPartialIsSaidOfThatAlone) {
  ModelDetail detail{.model = sample(), .files = {{.path = "a"}, {.path = "b"}}};
  EXPECT_FALSE(to_json(detail).contains("partial"));
  detail.model.partial = true;
  detail.files[1].left_out = true;
  const json::Value value(to_json(detail));
  EXPECT_FALSE(value.as_object().at("files").as_array()[0].as_object().contains("left_out"));
  const auto back = detail_from_json(json::View(value, "model"));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_TRUE(back->model.partial);
  EXPECT_FALSE(back->files[0].left_out);
  EXPECT_TRUE(back->files[1].left_out);
}

TEST(ControlJson, ModelOfDockerModelRunnerIsReadFromItsConfig) {
  const auto value = parsed(R"({"id":"sha256:b","tags":null,"created":5,"config":{"format":"gguf",
      "architecture":"qwen2","parameters":"494M","quantization":"Q8_0","size":"531 MB",
      "gguf":{"qwen2.context_length":"32768"}}})");
  const auto model = model_from_json(json::View(value, "model"));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->architecture, "qwen2");
  EXPECT_EQ(model->context_size, 32768u);
  EXPECT_EQ(model->size, 531000000u);
  EXPECT_TRUE(model->tags.empty());
}

TEST(ControlJson, ModelWithWrongTypesIsRefusedByPath) {
  for (const auto& [text, path] : std::vector<std::pair<const char*, const char*>>{
           {R"({"tags":[]})", "model.id"},
           {R"({"id":"x","tags":[1]})", "model.tags"},
           {R"({"id":"x","created":"now"})", "model.created"},
           {R"({"id":"x","config":[]})", "model.config"},
           {R"({"id":"x","size":-1})", "model.size"}}) {
    const auto value = parsed(text);
    const auto model = model_from_json(json::View(value, "model"));
    ASSERT_FALSE(model) << text;
    EXPECT_EQ(model.error().code(), Code::kInvalid);
    EXPECT_NE(model.error().message().find(path), std::string::npos) << model.error().message();
  }
}

TEST(ControlJson, AbsurdCreationTimeIsBounded) {
  const auto value = parsed(R"({"id":"x","created":9223372036854775807})");
  const auto model = model_from_json(json::View(value, "model"));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->created.time_since_epoch().count(), 253402300799);
}

TEST(ControlJson, DetailKeepsTheManifestsBytes) {
  ModelDetail detail;
  detail.model = sample();
  detail.artifact = "docker.ai v0.1";
  detail.manifest_digest = detail.model.id;
  detail.raw_manifest = "{ \"schemaVersion\" : 2 }\n";
  detail.annotations = {{"a", "b"}};
  detail.files = {
      {"model.gguf", "weights", "application/vnd.docker.ai.gguf.v3", "sha256:c", 7, {{"k", "v"}}}};
  const json::Value value(to_json(detail));
  const auto back = detail_from_json(json::View(value, "model"));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->raw_manifest, detail.raw_manifest);
  EXPECT_EQ(json::serialize(to_json(*back)), json::serialize(value));
}

TEST(ControlJson, RunningModelUsesDockersKeysAndGoDurations) {
  RunningModel running;
  running.backend = "llama.cpp";
  running.model = "docker.io/ai/smollm2:latest";
  running.mode = "completion";
  running.last_used = Time(std::chrono::seconds(1700000000));
  running.keep_alive = milliseconds(300000);
  running.pid = 42;
  const json::Value value(to_json(running));
  EXPECT_EQ(
      json::serialize(value),
      R"({"backend_name":"llama.cpp","model_name":"docker.io/ai/smollm2:latest","mode":"completion",)"
      R"("last_used":"2023-11-14T22:13:20Z","in_use":false,"loading":false,"keep_alive":"5m0s",)"
      R"("expires":null,"device":null,"gpu_layers":null,"pid":42,"memory":null})");
  const auto back = running_from_json(json::View(value, "running"));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(json::serialize(to_json(*back)), json::serialize(value));
}

TEST(ControlJson, GoZeroTimeIsNoTime) {
  const auto value =
      parsed(R"({"model_name":"m","last_used":"0001-01-01T00:00:00Z","keep_alive":"-1m"})");
  const auto running = running_from_json(json::View(value, "running"));
  ASSERT_TRUE(running) << running.error().message();
  EXPECT_FALSE(running->last_used);
  EXPECT_EQ(running->keep_alive, milliseconds(-1));
}

TEST(ControlJson, KeepAliveTexts) {
  EXPECT_EQ(keep_alive_text(milliseconds(-5)), "-1");
  EXPECT_EQ(keep_alive_text(milliseconds(0)), "0s");
  EXPECT_EQ(keep_alive_text(milliseconds(250)), "250ms");
  EXPECT_EQ(keep_alive_text(milliseconds(1500)), "1.500s");
  EXPECT_EQ(keep_alive_text(milliseconds(3600000)), "1h0m0s");
  EXPECT_EQ(keep_alive_text(milliseconds(5400000 + 7000)), "1h30m7s");
}

TEST(ControlJson, ConfigurationLeavesOutWhatIsNotSet) {
  Configuration configuration;
  configuration.model = "ai/smollm2";
  EXPECT_EQ(json::serialize(json::Value(to_json(configuration))), R"({"model":"ai/smollm2"})");
  configuration.mode = "embedding";
  configuration.context_size = 4096;
  configuration.runtime_flags = {"--threads", "4"};
  configuration.draft_model = "ai/tiny";
  configuration.draft_min_acceptance = 0.5;
  configuration.keep_alive = milliseconds(-1);
  configuration.reasoning_budget = 0;
  const json::Value value(to_json(configuration));
  const auto back = configuration_from_json(json::View(value, "request"));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(json::serialize(json::Value(to_json(*back))), json::serialize(value));
}

TEST(ControlJson, RawRuntimeFlagsAreSplitLikeAShellWithoutExpansion) {
  const auto value = parsed(R"({"model":"m","raw-runtime-flags":"--a  'b c' \"$HOME\" d\\ e ''"})");
  const auto configuration = configuration_from_json(json::View(value, "request"));
  ASSERT_TRUE(configuration) << configuration.error().message();
  EXPECT_EQ(configuration->runtime_flags,
            (std::vector<std::string>{"--a", "b c", "$HOME", "d e", ""}));
}

TEST(ControlJson, BadConfigurationIsRefused) {
  for (const auto& [text, code] : std::vector<std::pair<const char*, Code>>{
           {R"({})", Code::kInvalid},
           {R"({"model":"m","raw-runtime-flags":"'x"})", Code::kInvalid},
           {R"({"model":"m","keep_alive":"soon"})", Code::kInvalid},
           {R"({"model":"m","context-size":"big"})", Code::kInvalid},
           {R"({"model":"m","vllm":{"gpu-memory-utilization":0.5}})", Code::kUnsupported}}) {
    const auto value = parsed(text);
    const auto configuration = configuration_from_json(json::View(value, "request"));
    ASSERT_FALSE(configuration) << text;
    EXPECT_EQ(configuration.error().code(), code) << text;
  }
}

TEST(ControlJson, ConfigurationEntryHasGoKeysAndAMode) {
  ConfigurationEntry entry{"llama.cpp", "ai/smollm2", "sha256:d", {}};
  entry.configuration.context_size = 2048;
  const json::Value value(to_json(entry));
  EXPECT_EQ(
      json::serialize(value),
      R"({"Backend":"llama.cpp","Model":"ai/smollm2","ModelID":"sha256:d","Mode":"completion",)"
      R"("Config":{"context-size":2048}})");
  const auto back = configuration_entry_from_json(json::View(value, "entry"));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->configuration.context_size, 2048);
}

TEST(ControlJson, StatusNamesTheApiOfAnEndpoint) {
  StatusReport report;
  report.running = true;
  report.endpoint = "http://localhost:12434";
  report.endpoints = {"/run/berth.sock", "http://127.0.0.1:12434"};
  report.backends = {{"llama.cpp", "Running", "b9879"}, {"vllm", "Not Installed", ""}};
  EXPECT_EQ(
      json::serialize(json::Value(to_json(report))),
      R"({"running":true,"backends":{"llama.cpp":"Running: b9879","vllm":"Not Installed"},"kind":"Berth",)"
      R"("endpoint":"http://localhost:12434/v1/","endpointHost":"http://localhost:12434/v1/",)"
      R"("endpoints":["/run/berth.sock","http://127.0.0.1:12434"],"sandbox":{},"store":null})");
}

TEST(ControlJson, BackendTextsAreReadBack) {
  EXPECT_EQ(backend_from_text("a", "Not Installed: no binary").details, "no binary");
  EXPECT_EQ(backend_from_text("a", "Running").state, "Running");
  EXPECT_EQ(backend_from_text("a", "Strange").state, "Error");
  EXPECT_EQ(backend_from_text("a", "Strange").details, "Strange");
  EXPECT_EQ(backend_from_text("a", "").state, "Not Installed");
}

TEST(ControlJson, RemovalIsDockersArray) {
  const auto value = parsed(R"([{"Untagged":"docker.io/ai/x:latest"},{"Deleted":"sha256:e"}])");
  const auto result = removed_from_json(json::View(value, "answer"));
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(json::serialize(json::Value(removed_to_json(*result))), json::serialize(value));
}

TEST(ControlJson, UnloadRequestRoundTrip) {
  const json::Value value(to_json(UnloadRequest{true, "llama.cpp", {"a", "b"}}));
  const auto back = unload_from_json(json::View(value, "request"));
  ASSERT_TRUE(back);
  EXPECT_EQ(json::serialize(json::Value(to_json(*back))), json::serialize(value));
}

TEST(ControlJson, UsageOfDockerHasTwoNumbers) {
  const auto value = parsed(R"({"models_disk_usage":10,"default_backend_disk_usage":20})");
  const auto usage = usage_from_json(json::View(value, "usage"));
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->models + usage->engines, 30u);
}

TEST(ControlJson, OpenAiItem) {
  const json::Value value(openai_model(sample(), "ai/smollm2"));
  EXPECT_EQ(
      json::serialize(value),
      R"({"id":"ai/smollm2","object":"model","created":1700000000,"owned_by":"docker","dmr":{"context_window":8192,)"
      R"("architecture":"llama","parameters":"134.52M","quantization":"Q4_1","size":"91.7 MB"}})");
}

}  // namespace
}  // namespace berth::control
