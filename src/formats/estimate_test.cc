#include "formats/estimate.h"

#include <gtest/gtest.h>

#include "formats/test_gguf.h"

namespace berth::formats {
namespace {

using testing::GgufBuilder;
using testing::tiny_llama;

Gguf read(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  return read_gguf(MemoryAccess(bytes)).value();
}
MemoryProfile profile_of(const GgufBuilder& builder) {
  return memory_profile({read(builder)}).value();
}

// SmolLM2-135M's numbers without its weights.
GgufBuilder smol() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .u32("llama.context_length", 8192)
      .u32("llama.embedding_length", 576)
      .u32("llama.block_count", 30)
      .u32("llama.feed_forward_length", 1536)
      .u32("llama.attention.head_count", 9)
      .u32("llama.attention.head_count_kv", 3)
      .u32("llama.vocab_size", 49152);
  return builder;
}

constexpr double kMiB = 1024.0 * 1024.0;

TEST(Estimate, AgreesWithWhatLlamaServerPrinted) {
  const MemoryProfile profile = profile_of(smol());
  const Estimate at_2k = estimate_memory(profile, {.context = 2048, .slots = 4}).value();
  EXPECT_EQ(at_2k.kv_cache, 45U * 1024 * 1024);
  EXPECT_GE(at_2k.compute, 16.64 * kMiB);
  EXPECT_LE(at_2k.compute, 1.4 * 16.64 * kMiB);
  const Estimate at_8k = estimate_memory(profile, {.context = 8192, .slots = 4}).value();
  EXPECT_EQ(at_8k.kv_cache, 180U * 1024 * 1024);
  EXPECT_GE(at_8k.compute, 22.64 * kMiB);
  const Estimate plain =
      estimate_memory(profile, {.context = 8192, .slots = 4, .attention = Attention::kPlain})
          .value();
  EXPECT_GE(plain.compute, 167.51 * kMiB);
  EXPECT_LE(plain.compute, 1.1 * 167.51 * kMiB);
  const Estimate q8 =
      estimate_memory(profile, {.context = 8192, .key_type = "q8_0", .value_type = "q8_0"}).value();
  EXPECT_NEAR(static_cast<double>(q8.kv_cache) / kMiB, 95.62, 0.01);
  EXPECT_EQ(estimate_memory(profile, {.context = 0}).value().kv_cache, at_8k.kv_cache);
}

TEST(Estimate, CountsWeightsByLayer) {
  const MemoryProfile profile = profile_of(tiny_llama());
  ASSERT_EQ(profile.layers.size(), 2U);
  EXPECT_EQ(profile.layers[0].bytes, 512U);
  EXPECT_EQ(profile.input_bytes, 128U);
  EXPECT_EQ(profile.output_bytes, 64U);
  EXPECT_EQ(estimate_memory(profile, {}).value().weights, 128U + 64 + 2 * 512);
}

TEST(Estimate, GpuTakesLayersFromTheEnd) {
  const MemoryProfile profile = profile_of(tiny_llama());
  const Estimate none = estimate_memory(profile, {.gpu_layers = 0}).value();
  EXPECT_EQ(none.gpu, 0U);
  EXPECT_EQ(none.host, none.total());
  const Estimate one = estimate_memory(profile, {.gpu_layers = 2}).value();
  const Estimate all = estimate_memory(profile, {.gpu_layers = 99}).value();
  EXPECT_EQ(all.layers, 3U);
  EXPECT_EQ(all.gpu - one.gpu, 512 + all.kv_cache / 2);
  EXPECT_LT(all.host, none.host);
}

TEST(Estimate, FindsHowManyLayersFit) {
  const MemoryProfile profile = profile_of(tiny_llama());
  const Estimate two = estimate_memory(profile, {.gpu_layers = 2}).value();
  EXPECT_EQ(layers_that_fit(profile, {}, two.gpu).value(), 2U);
  EXPECT_EQ(layers_that_fit(profile, {}, two.gpu - 1).value(), 1U);
  EXPECT_EQ(layers_that_fit(profile, {}, 0).value(), 0U);
  EXPECT_EQ(layers_that_fit(profile, {}, UINT64_MAX).value(), 3U);
}

TEST(Estimate, SlidingWindowsHoldLess) {
  GgufBuilder builder;
  builder.text("general.architecture", "gemma3")
      .u32("gemma3.embedding_length", 64)
      .u32("gemma3.block_count", 12)
      .u32("gemma3.attention.head_count", 4)
      .u32("gemma3.attention.head_count_kv", 1)
      .u32("gemma3.attention.sliding_window", 1024);
  const MemoryProfile profile = profile_of(builder);
  EXPECT_FALSE(profile.layers[5].windowed);
  EXPECT_TRUE(profile.layers[4].windowed);
  const std::uint64_t position = 16 * 2 * 2;  // a head of 16, two tensors, F16
  EXPECT_EQ(estimate_memory(profile, {.context = 32768}).value().kv_cache,
            2 * position * 32768 + 10 * position * (1024 + 512));
}

TEST(Estimate, LayersWithoutAttentionHaveNoCache) {
  GgufBuilder builder;
  builder.text("general.architecture", "x")
      .u32("x.embedding_length", 64)
      .u32("x.block_count", 3)
      .u32("x.attention.head_count", 4)
      .u32s("x.attention.head_count_kv", {0, 2, 0});
  EXPECT_EQ(estimate_memory(profile_of(builder), {.context = 100}).value().kv_cache,
            100U * 2 * 16 * 2 * 2);
}

TEST(Estimate, SumsTheShardsOfASplitModel) {
  std::vector<Gguf> shards;
  for (std::uint16_t i = 0; i < 2; ++i) {
    const std::string bytes = testing::tiny_shard(i, 2);
    shards.push_back(read_gguf(MemoryAccess(bytes)).value());
  }
  const MemoryProfile profile = memory_profile(shards).value();
  EXPECT_EQ(profile.layers.size(), 2U);
  EXPECT_EQ(estimate_memory(profile, {}).value().weights, 1024U);
}

TEST(Estimate, HostileNumbersNeverWrap) {
  GgufBuilder builder;
  builder.text("general.architecture", "x")
      .raw<std::uint64_t>("x.embedding_length", 10, UINT64_MAX)
      .u32("x.block_count", 2)
      .raw<std::uint64_t>("x.attention.head_count_kv", 10, UINT64_MAX)
      .raw<std::uint64_t>("x.attention.key_length", 10, UINT64_MAX)
      .raw<std::uint64_t>("x.feed_forward_length", 10, UINT64_MAX)
      .raw<std::uint64_t>("x.vocab_size", 10, UINT64_MAX);
  const Estimate estimate = estimate_memory(profile_of(builder), {.gpu_layers = 3}).value();
  EXPECT_EQ(estimate.total(), UINT64_MAX);
  EXPECT_EQ(estimate.gpu, UINT64_MAX);
}

TEST(Estimate, RefusesImpossibleModelsAndCaches) {
  GgufBuilder builder;
  builder.text("general.architecture", "x").raw<std::uint64_t>("x.block_count", 10, 1ULL << 60);
  EXPECT_EQ(memory_profile({read(builder)}).error().code(), Code::kCorrupt);
  GgufBuilder named;
  named.tensor("blk.18446744073709551615.x", {1});
  EXPECT_EQ(memory_profile({read(named)}).error().code(), Code::kCorrupt);
  EXPECT_FALSE(memory_profile({}));
  EXPECT_EQ(estimate_memory(profile_of(smol()), {.key_type = "q2_k"}).error().code(),
            Code::kInvalid);
}

}  // namespace
}  // namespace berth::formats
