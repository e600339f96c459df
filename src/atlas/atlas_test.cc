// Models as they are pushed: recognised, read, and told on when they are not what they say.
#include "atlas/atlas.h"

#include <gtest/gtest.h>

#include "depot/depot_fixture.h"
#include "formats/test_gguf.h"
#include "model/media.h"
#include "oci/manifest.h"

namespace berth::atlas {
namespace {

using formats::testing::GgufBuilder;
using formats::testing::tiny_llama;

struct Layer {
  std::string bytes;
  std::string_view type = model::media::kGguf;
  std::string path = "model.gguf";
};

class AtlasTest : public depot::DepotTest {
 public:
  void TearDown() override { close_atlas(); }
  void open_atlas(Check check = Check::kWarn) {
    close_atlas();
    atlas_ = std::make_unique<Atlas>(*loop_, seam(), check);
    atlas_->start();
  }
  void close_atlas() {
    if (atlas_) EXPECT_TRUE(run(atlas_->close()));
    atlas_.reset();
  }

  // Pushes everything but the manifest.
  depot::PushedManifest model(const std::vector<Layer>& layers, std::string facts = "",
                              bool with_layers = true) {
    const std::string config = R"({"config":{)" + facts + R"(},"descriptor":{}})";
    oci::Manifest manifest{.media_type = std::string(oci::media::kManifest),
                           .config = oci::describe(config, model::media::kDockerConfigV01)};
    push("a", config);
    for (const Layer& layer : layers) {
      if (with_layers) push("a", layer.bytes);
      manifest.layers.push_back(oci::describe(layer.bytes, layer.type));
      manifest.layers.back().annotations["org.cncf.model.filepath"] = layer.path;
    }
    const std::string bytes = oci::serialize(manifest);
    return {.manifest = {.digest = oci::Digest::of(as_bytes(bytes)),
                         .media_type = manifest.media_type,
                         .bytes = bytes},
            .children = oci::children(bytes, manifest.media_type).value(),
            .origin = {.actor = "tester"}};
  }
  // As the registry does it.
  std::vector<std::string> store(depot::PushedManifest pushed) {
    Look look = atlas_->look("a", pushed);
    EXPECT_TRUE(run(look.wait(op_)));
    put("a", std::move(pushed));
    look.stored();
    return look.findings();
  }
  std::vector<depot::ModelRecord> records() {
    EXPECT_TRUE(run(atlas_->settled(op_)));
    return run(seam().models.search(op_, {.limit = 10})).value().models;
  }
  // The one finding of such a model.
  std::string finding(const std::vector<Layer>& layers, std::string facts = "") {
    if (!atlas_) open_atlas();
    const auto findings = store(model(layers, std::move(facts)));
    EXPECT_EQ(findings.size(), 1u) << fmt::format("{}", fmt::join(findings, "\n"));
    return findings.empty() ? "" : findings[0];
  }

  std::unique_ptr<Atlas> atlas_;
};

void expect_has(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST_F(AtlasTest, AModelIsReadFromItsHeader) {
  open_atlas();
  const std::string bytes = tiny_llama().text("general.license", "mit").build();
  EXPECT_TRUE(store(model({{bytes}}, R"("format":"gguf","architecture":"llama")")).empty());
  const auto found = records();
  ASSERT_EQ(found.size(), 1u);
  const depot::ModelFacts& facts = found[0].facts;
  EXPECT_EQ(facts.name, "tiny");
  EXPECT_EQ(facts.format, "gguf");
  EXPECT_EQ(facts.architecture, "llama");
  EXPECT_EQ(facts.license, "mit");
  EXPECT_EQ(facts.quantization, "F16");
  EXPECT_EQ(facts.context_length, 2048u);
  EXPECT_EQ(facts.parameters, 16u * 4 + 2 * 16 * 16 + 16);
  EXPECT_EQ(facts.size, bytes.size());
}

TEST_F(AtlasTest, SafetensorsAreReadWithTheConfigBesideThem) {
  open_atlas();
  EXPECT_TRUE(store(model({{formats::testing::tiny_safetensors(), model::media::kSafetensors,
                            "model.safetensors"},
                           {R"({"architectures":["LlamaForCausalLM"],)"
                            R"("max_position_embeddings":4096})",
                            "application/vnd.cncf.model.weight.config.v1.raw", "config.json"}}))
                  .empty());
  const auto found = records();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].facts.format, "safetensors");
  EXPECT_EQ(found[0].facts.architecture, "LlamaForCausalLM");
  EXPECT_EQ(found[0].facts.context_length, 4096u);
  EXPECT_EQ(found[0].facts.parameters, 7u);
}

TEST_F(AtlasTest, ATruncatedFileIsTold) {
  const std::string whole = tiny_llama().build();
  expect_has(finding({{whole.substr(0, whole.size() - 100)}}), "is no sound gguf file");
  expect_has(finding({{whole.substr(0, 40)}}), "model.gguf (sha256:");
  std::string tensors = formats::testing::tiny_safetensors();
  tensors.pop_back();
  expect_has(finding({{tensors, model::media::kSafetensors, "m.safetensors"}}),
             "is no sound safetensors file");
}

TEST_F(AtlasTest, ALyingHeaderIsTold) {
  GgufBuilder many = tiny_llama();
  many.declared_tensors = std::int64_t{1} << 60;
  expect_has(finding({{many.build()}}), "is no sound gguf file");
  GgufBuilder keys = tiny_llama();
  keys.begin_array("huge", 4, UINT64_MAX);
  expect_has(finding({{keys.build()}}), "is no sound gguf file");
  expect_has(finding({{formats::testing::safetensors_file(
                           R"({"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}})", 4),
                       model::media::kSafetensors, "m.safetensors"}}),
             "is no sound safetensors file");
}

TEST_F(AtlasTest, AWrongMediaTypeIsTold) {
  expect_has(finding({{tiny_llama().build(), model::media::kSafetensors, "model.safetensors"}}),
             "but its bytes are gguf");
  expect_has(finding({{formats::testing::tiny_safetensors()}}), "but its bytes are safetensors");
  expect_has(finding({{"no model at all, but long enough"}}), "is no sound gguf file");
}

TEST_F(AtlasTest, AConfigThatContradictsTheWeightsIsTold) {
  const Layer weights{tiny_llama().build()};
  expect_has(finding({weights}, R"("architecture":"qwen3")"), "architecture is qwen3");
  expect_has(finding({weights}, R"("quantization":"Q4_0")"), "say F16");
  expect_has(finding({weights}, R"("parameters":"8.03B")"), "number of parameters is 8.03B");
  expect_has(finding({weights}, R"("format":"safetensors")"), "weights say gguf");
  open_atlas();
  EXPECT_TRUE(store(model({weights}, R"("architecture":"Llama","quantization":"MOSTLY_F16",)"
                                     R"("parameters":"600")"))
                  .empty());
}

TEST_F(AtlasTest, WhatIsMissingIsTold) {
  open_atlas();
  const auto findings = store(model({{tiny_llama().build()}}, "", false));
  ASSERT_EQ(findings.size(), 1u);
  expect_has(findings[0], "is not in the repository");
  expect_has(finding({{formats::testing::tiny_shard(0, 3), model::media::kGguf, "m-1.gguf"},
                      {formats::testing::tiny_shard(1, 3), model::media::kGguf, "m-2.gguf"}}),
             "split in 3 files, and the manifest names 2");
}

TEST_F(AtlasTest, NamesFromOutsideArePrintable) {
  open_atlas();
  GgufBuilder evil;
  evil.text("general.architecture", "llama")
      .text("general.name", "\x1b[2Jevil\nline")
      .tensor("t", {16, 2});
  EXPECT_TRUE(store(model({{evil.build()}})).empty());
  const std::string name = records().at(0).facts.name;
  EXPECT_EQ(name.find('\x1b'), std::string::npos);
  EXPECT_EQ(name.find('\n'), std::string::npos);
}

TEST_F(AtlasTest, WhatIsNoModelHasNoRecord) {
  open_atlas();
  EXPECT_TRUE(store(manifest({"x"}, {"v1"})).empty());
  EXPECT_TRUE(records().empty());
  EXPECT_TRUE(run(seam().models.not_looked_at(op_, 10)).value().empty());
}

TEST_F(AtlasTest, WhatWasNotStoredHasNoRecord) {
  open_atlas(Check::kRefuse);
  {
    depot::PushedManifest pushed = model({{tiny_llama().build()}});
    Look look = atlas_->look("a", pushed);
    EXPECT_TRUE(run(look.wait(op_)));
  }
  EXPECT_TRUE(records().empty());
}

TEST_F(AtlasTest, WhatARestartLeftOutIsLookedAtAfterwards) {
  put("a", model({{tiny_llama().build()}}));
  open_atlas(Check::kOff);
  EXPECT_TRUE(records().empty());
  close_atlas();
  open_atlas();
  EXPECT_EQ(records().size(), 1u);
}

}  // namespace
}  // namespace berth::atlas
