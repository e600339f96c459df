#include "formats/estimate.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace berth::formats {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kMaxLayers = 4096;
constexpr std::uint64_t kHostOverhead = 48 * kMiB;
constexpr std::uint64_t kGpuOverhead = 512 * kMiB;  // a driver's context and its kernels
constexpr std::uint64_t kBytesPerToken = 200;  // text, score and hash entries of the vocabulary

// Headers are from outside: sums and products stay at the top instead of wrapping to a small number
// that would be admitted.
std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}
std::uint64_t multiply(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

// Every how manieth layer has full attention, where llama.cpp knows it by the architecture and the
// header does not say.
constexpr auto kWindowPeriods = std::to_array<std::pair<std::string_view, std::uint64_t>>({
    {"gemma2", 2},
    {"gemma3", 6},
    {"gemma3n", 5},
    {"gpt-oss", 2},
    {"cohere2", 4},
});

// "blk.12.attn_q.weight" -> 12.
std::optional<std::uint64_t> block_of(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  name.remove_prefix(4);
  return parse_u64(name.substr(0, name.find('.')));
}

Result<std::uint64_t> count_layers(const std::vector<Gguf>& shards, const GgufFacts& facts) {
  std::uint64_t count = facts.block_count.value_or(0);
  for (const Gguf& shard : shards) {
    for (const GgufTensor& tensor : shard.tensors) {
      if (const auto block = block_of(tensor.name)) count = std::max(count, add(*block, 1));
    }
  }
  if (count <= kMaxLayers) return count;
  return fail(Code::kCorrupt, "the GGUF file declares {} layers; no model has more than {}", count,
              kMaxLayers);
}

std::optional<std::uint64_t> element(const Gguf& gguf, std::string_view key, std::size_t layer) {
  const GgufEntry* entry = gguf.find(key);
  const auto* array = entry == nullptr ? nullptr : std::get_if<GgufArray>(&entry->value);
  if (array == nullptr || layer >= array->values.size()) return std::nullopt;
  const GgufScalar& value = array->values[layer];
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return *number;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? 1 : 0;
  const auto* number = std::get_if<std::int64_t>(&value);
  return number != nullptr && *number >= 0 ? std::optional(static_cast<std::uint64_t>(*number))
                                           : std::nullopt;
}

std::uint64_t window_period(const Gguf& gguf, const GgufFacts& facts, const std::string& key) {
  if (const auto period = gguf.number(key)) return *period;
  for (const auto& [architecture, period] : kWindowPeriods) {
    if (facts.architecture == architecture) return period;
  }
  return 1;  // unknown: every layer counts in full
}

void fill_attention(const Gguf& gguf, MemoryProfile& profile) {
  const std::string prefix = profile.facts.architecture + ".attention.";
  const std::uint64_t heads =
      profile.facts.kv_head_count.value_or(profile.facts.head_count.value_or(0));
  const std::uint64_t period =
      window_period(gguf, profile.facts, prefix + "sliding_window_pattern");
  for (std::size_t i = 0; i < profile.layers.size(); ++i) {
    MemoryProfile::Layer& layer = profile.layers[i];
    layer.kv_heads = element(gguf, prefix + "head_count_kv", i).value_or(heads);
    if (!profile.facts.sliding_window || *profile.facts.sliding_window == 0) continue;
    const auto told = element(gguf, prefix + "sliding_window_pattern", i);
    layer.windowed = told ? *told != 0 : period > 1 && (i + 1) % period != 0;
  }
}

void fill_weights(const std::vector<Gguf>& shards, MemoryProfile& profile) {
  for (const Gguf& shard : shards) {
    for (const GgufTensor& tensor : shard.tensors) {
      const auto block = block_of(tensor.name);
      std::uint64_t& bytes = block                                   ? profile.layers[*block].bytes
                             : tensor.name.starts_with("token_embd") ? profile.input_bytes
                                                                     : profile.output_bytes;
      bytes = add(bytes, tensor.bytes);
    }
  }
}

struct CacheTypes {
  const GgmlType* key;
  const GgmlType* value;
};

Result<const GgmlType*> cache_type(const std::string& name) {
  for (const std::string_view known :
       {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1"}) {
    if (iequals(known, name)) return find_ggml_type(known);
  }
  return fail(Code::kInvalid,
              "{} is no type for the kv cache; there are f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, "
              "q5_0 and q5_1",
              printable(name, 40));
}

std::uint64_t row_bytes(const GgmlType& type, std::uint64_t elements) {
  return multiply(add(elements, type.block_elements - 1) / type.block_elements, type.block_bytes);
}

// Key and value lengths are the embedding's share of a head unless the header says otherwise.
std::uint64_t head_length(const GgufFacts& facts, const std::optional<std::uint64_t>& told) {
  if (told) return *told;
  return facts.embedding_length.value_or(0) /
         std::max<std::uint64_t>(1, facts.head_count.value_or(1));
}

std::uint64_t cache_bytes(const MemoryProfile& profile, const MemoryProfile::Layer& layer,
                          const EstimateRequest& request, const CacheTypes& types) {
  const GgufFacts& facts = profile.facts;
  const std::uint64_t window =
      add(multiply(facts.sliding_window.value_or(0), request.slots), request.batch);
  const std::uint64_t positions =
      layer.windowed ? std::min(request.context, window) : request.context;
  const std::uint64_t key =
      row_bytes(*types.key, multiply(layer.kv_heads, head_length(facts, facts.key_length)));
  const std::uint64_t value =
      row_bytes(*types.value, multiply(layer.kv_heads, head_length(facts, facts.value_length)));
  return multiply(positions, add(key, value));
}

std::uint64_t compute_bytes(const GgufFacts& facts, const EstimateRequest& request) {
  const std::uint64_t wide = add(multiply(8, facts.embedding_length.value_or(0)),
                                 multiply(3, facts.feed_forward_length.value_or(0)));
  std::uint64_t token = add(multiply(4, wide), multiply(2, request.context));
  if (request.attention == Attention::kPlain) {
    token = add(token, multiply(multiply(4, facts.head_count.value_or(0)), request.context));
  }
  return add(multiply(request.batch, token),
             multiply(multiply(4, request.slots), facts.vocabulary));
}

// The last layers go first, the output layer before all; llama.cpp keeps the token embeddings on
// the host.
std::uint64_t gpu_bytes(const MemoryProfile& profile, const EstimateRequest& request,
                        const CacheTypes& types, std::uint64_t compute) {
  if (request.gpu_layers == 0) return 0;
  std::uint64_t bytes = add(kGpuOverhead, compute);
  // Tied embeddings are copied to where the output is computed.
  bytes = add(bytes, add(profile.output_bytes, profile.input_bytes));
  std::uint64_t left = request.gpu_layers - 1;
  for (auto layer = profile.layers.rbegin(); layer != profile.layers.rend() && left > 0;
       ++layer, --left) {
    bytes = add(bytes, add(layer->bytes, cache_bytes(profile, *layer, request, types)));
  }
  return bytes;
}

}  // namespace

std::uint64_t Estimate::total() const {
  return add(add(weights, kv_cache), add(compute, overhead));
}

Result<MemoryProfile> memory_profile(const std::vector<Gguf>& shards) {
  if (shards.empty()) return fail(Code::kInvalid, "a memory estimate needs a model");
  MemoryProfile profile;
  profile.facts = gguf_facts(shards[0]);
  TRY(const std::uint64_t layers, count_layers(shards, profile.facts));
  profile.layers.resize(layers);
  fill_attention(shards[0], profile);
  fill_weights(shards, profile);
  return profile;
}

Result<Estimate> estimate_memory(const MemoryProfile& profile, const EstimateRequest& asked) {
  EstimateRequest request = asked;
  if (request.context == 0) request.context = profile.facts.context_length.value_or(4096);
  CacheTypes types{};
  TRY(types.key, cache_type(request.key_type));
  TRY(types.value, cache_type(request.value_type));
  Estimate estimate;
  estimate.layers = profile.layers.size() + 1;
  estimate.weights = add(profile.input_bytes, profile.output_bytes);
  for (const MemoryProfile::Layer& layer : profile.layers) {
    estimate.weights = add(estimate.weights, layer.bytes);
    estimate.kv_cache = add(estimate.kv_cache, cache_bytes(profile, layer, request, types));
  }
  estimate.compute = compute_bytes(profile.facts, request);
  estimate.overhead = add(kHostOverhead, multiply(kBytesPerToken, profile.facts.vocabulary));
  request.gpu_layers = std::min(request.gpu_layers, estimate.layers);
  estimate.gpu = gpu_bytes(profile, request, types, estimate.compute);
  const std::uint64_t total = estimate.total();
  const std::uint64_t moved =
      estimate.gpu - std::min(estimate.gpu, request.gpu_layers == 0 ? 0 : kGpuOverhead);
  estimate.host =
      std::max(total - std::min(total, moved), add(estimate.overhead, profile.input_bytes));
  return estimate;
}

Result<std::uint64_t> layers_that_fit(const MemoryProfile& profile, EstimateRequest request,
                                      std::uint64_t gpu) {
  for (request.gpu_layers = profile.layers.size() + 1; request.gpu_layers > 0;
       --request.gpu_layers) {
    TRY(const Estimate estimate, estimate_memory(profile, request));
    if (estimate.gpu <= gpu) return request.gpu_layers;
  }
  return 0;
}

}  // namespace berth::formats
