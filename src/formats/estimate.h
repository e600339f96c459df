// How much memory a GGUF model takes when it runs, from its header: what the scheduler admits by.
// Pure.
//
//   weights  = bytes of its tensors; a layer's share is on the GPU when the layer is
//   kv cache = context * sum over layers of kv_heads * (key_length * bytes(type k) + value_length *
//   bytes(type v));
//              layers with a sliding window hold min(context, window + batch) positions
//   compute  = batch * (logits of one micro-batch + the widest activations) in 32 bits, twice
//   overhead = what the engine takes anyway
// `context` is the whole context of all slots: llama.cpp divides it among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"

namespace berth::formats {

struct EstimateRequest {
  std::uint64_t context = 4096;  // 0: what the model was trained with
  std::uint64_t batch = 512;     // micro-batch
  std::string key_type = "F16";  // ggml type names
  std::string value_type = "F16";
  std::uint64_t slots = 1;
  std::uint64_t gpu_layers = 0;  // of block_count + 1 (the last is the output)
};

struct Estimate {
  std::uint64_t weights = 0;
  std::uint64_t kv_cache = 0;
  std::uint64_t compute = 0;
  std::uint64_t overhead = 0;
  std::uint64_t gpu = 0;     // of the total, what lies in GPU memory
  std::uint64_t host = 0;    // the rest
  std::uint64_t layers = 0;  // block_count + 1

  std::uint64_t total() const { return weights + kv_cache + compute + overhead; }
};

// What an estimate needs of a model, small enough to keep beside it: sums over the shards of a
// split model.
struct MemoryProfile {
  GgufFacts facts;
  std::vector<std::uint64_t> layer_bytes;  // by block
  std::uint64_t input_bytes = 0;           // token embeddings: stay on the host
  std::uint64_t output_bytes = 0;          // output layer and what belongs to no block
};
Result<MemoryProfile> memory_profile(const std::vector<Gguf>& shards);

// kInvalid for an unknown cache type.
Result<Estimate> estimate_memory(const MemoryProfile& profile, const EstimateRequest& request);

// How many layers fit into `gpu_bytes` (0 when none do).
Result<std::uint64_t> layers_that_fit(const MemoryProfile& profile, EstimateRequest request,
                                      std::uint64_t gpu_bytes);

}  // namespace berth::formats
