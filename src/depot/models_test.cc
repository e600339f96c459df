// What is known of models: records that go with their manifests, searches, what things weigh.
#include <gtest/gtest.h>
#include <set>

#include "depot/depot_fixture.h"

namespace berth::depot {
namespace {

class ModelsTest : public DepotTest {
 public:
  oci::Digest model(const std::string& repository, const std::vector<std::string>& blobs,
                    std::vector<std::string> tags, ModelFacts facts) {
    for (const std::string& blob : blobs) push(repository, blob);
    const oci::Digest digest = put(repository, manifest(blobs, std::move(tags)));
    const Status kept =
        run(seam().models.keep(op_, {.repository = repository, .digest = digest}, facts));
    EXPECT_TRUE(kept) << kept.error().message();
    return digest;
  }
  std::vector<std::string> found(ModelQuery query) {
    if (query.limit == 0) query.limit = 100;
    std::vector<std::string> names;
    for (const ModelRecord& record : run(seam().models.search(op_, query)).value().models)
      names.push_back(record.repository);
    return names;
  }
};

using Names = std::vector<std::string>;

TEST_F(ModelsTest, ARecordIsKeptWhole) {
  const ModelFacts facts{.name = "Tiny",
                         .format = "gguf",
                         .architecture = "llama",
                         .quantization = "Q4_K_M",
                         .license = "mit",
                         .parameters = 1'000'000,
                         .context_length = 2048,
                         .size = 6,
                         .findings = {"one thing", "another: x"}};
  const oci::Digest digest = model("team/tiny", {"weights"}, {"v1", "latest"}, facts);
  const ModelPage page = run(seam().models.search(op_, {.limit = 5})).value();
  ASSERT_EQ(page.models.size(), 1u);
  EXPECT_EQ(page.models[0].facts, facts);
  EXPECT_EQ(page.models[0].digest, digest.string());
  EXPECT_EQ(page.models[0].tags, (Names{"latest", "v1"}));
}

TEST_F(ModelsTest, WhatWasPushedIsLookedAtOnceAndAgainAfterThePush) {
  const oci::Digest digest = put("a", manifest({"w"}, {"v1"}));
  auto waiting = run(seam().models.not_looked_at(op_, 10)).value();
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].digest, digest);
  EXPECT_TRUE(run(seam().models.keep(op_, waiting[0], std::nullopt)));
  EXPECT_TRUE(run(seam().models.not_looked_at(op_, 10)).value().empty());
  EXPECT_TRUE(found({}).empty());
  put("a", manifest({"w"}, {"v1"}));
  EXPECT_EQ(run(seam().models.not_looked_at(op_, 10)).value().size(), 1u);
}

TEST_F(ModelsTest, ARecordGoesWithItsManifest) {
  const oci::Digest digest = model("a", {"w"}, {"v1"}, {.format = "gguf"});
  EXPECT_TRUE(run(seam().manifests.remove_manifest(op_, "a", digest, {"x"})).value());
  EXPECT_TRUE(found({}).empty());
  // Whoever looked at it meanwhile comes too late.
  EXPECT_TRUE(run(seam().models.keep(op_, {.repository = "a", .digest = digest}, ModelFacts())));
  EXPECT_TRUE(found({}).empty());
}

TEST_F(ModelsTest, ASearchAsksForAllThatItSays) {
  model("team/llama", {"1"}, {"q4"},
        {.name = "Llama Chat",
         .format = "gguf",
         .architecture = "llama",
         .quantization = "Q4_0",
         .license = "mit",
         .parameters = 100,
         .context_length = 2048,
         .size = 10});
  model("team/qwen", {"2"}, {"latest"},
        {.format = "safetensors",
         .architecture = "qwen3",
         .parameters = 800,
         .context_length = 40960,
         .size = 100});
  EXPECT_EQ(found({}), (Names{"team/llama", "team/qwen"}));
  EXPECT_EQ(found({.words = {"CHAT", "team"}}), (Names{"team/llama"}));
  EXPECT_EQ(found({.words = {"chat", "qwen"}}), Names());
  EXPECT_EQ(found({.words = {"latest"}}), (Names{"team/qwen"}));
  EXPECT_EQ(found({.architecture = "LLAMA"}), (Names{"team/llama"}));
  EXPECT_EQ(found({.quantization = "q4_0", .license = "MIT"}), (Names{"team/llama"}));
  EXPECT_EQ(found({.format = "safetensors"}), (Names{"team/qwen"}));
  EXPECT_EQ(found({.parameters = {.least = 101}}), (Names{"team/qwen"}));
  EXPECT_EQ(found({.context_length = {.most = 4096}}), (Names{"team/llama"}));
  EXPECT_EQ(found({.size = {.least = 10, .most = 10}}), (Names{"team/llama"}));
  EXPECT_EQ(found({.repository = "team/qwen"}), (Names{"team/qwen"}));
  EXPECT_EQ(found({.sees = [](std::string_view name) { return name != "team/llama"; }}),
            (Names{"team/qwen"}));
}

TEST_F(ModelsTest, PagesGoOnBehindTheLastOne) {
  model("a", {"1"}, {}, {});
  model("a", {"2"}, {}, {});
  model("b", {"3"}, {}, {});
  std::set<std::string> seen;
  ModelQuery query{.limit = 1};
  for (bool more = true; more;) {
    const ModelPage page = run(seam().models.search(op_, query)).value();
    ASSERT_EQ(page.models.size(), 1u);
    seen.insert(page.models[0].digest);
    query.last_repository = page.models[0].repository;
    query.last_digest = page.models[0].digest;
    more = page.more;
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(ModelsTest, SharedBytesAreToldApart) {
  const oci::Digest one = model("a", {"weights", "one"}, {"v1"}, {});
  model("a", {"weights", "other"}, {"v2"}, {});
  const auto in = run(seam().models.usage_in(op_, "a", {.limit = 10})).value();
  ASSERT_EQ(in.size(), 2u);
  for (const Usage& usage : in) {
    EXPECT_EQ(usage.shared, 7u);
    EXPECT_EQ(usage.bytes, usage.name == one.string() ? 10u : 12u);
  }
  const auto before = run(seam().models.usage_of(op_, {"a", "none"})).value();
  ASSERT_EQ(before.size(), 2u);
  EXPECT_EQ(before[0].shared, 0u);
  EXPECT_EQ(before[1].bytes, 0u);
  ASSERT_TRUE(run(seam().blobs.mount(op_, "b", oci::Digest::of(as_bytes("weights")), "a")).value());
  const auto after = run(seam().models.usage_of(op_, {"a"})).value();
  EXPECT_EQ(after[0].bytes, before[0].bytes);
  EXPECT_EQ(after[0].shared, 7u);
}

TEST_F(ModelsTest, TagsAndTheirHistoryOfAWholeRepository) {
  const oci::Digest one = put("a", manifest({"1"}, {"v1", "latest"}));
  const oci::Digest two = put("a", manifest({"2"}, {"latest"}));
  const auto states = run(seam().lists.tag_states(op_, "a", {.limit = 10})).value();
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0].digest, two.string());
  EXPECT_EQ(states[1].digest, one.string());
  auto moves = run(seam().lists.history(op_, "a", "", kNewestMove, 2)).value();
  ASSERT_EQ(moves.size(), 2u);
  EXPECT_EQ(moves[0].before, one.string());
  EXPECT_EQ(moves[0].after, two.string());
  moves = run(seam().lists.history(op_, "a", "", moves[1].id, 2)).value();
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].tag, "v1");
}

}  // namespace
}  // namespace berth::depot
