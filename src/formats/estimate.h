// How much memory a GGUF model takes when it runs, from its header: what the scheduler admits by.
// Pure.
//
//   weights  = bytes of its tensors; a layer's share is on the GPU when the layer is
//   kv cache = sum over layers of positions * kv_heads * (key_length * bytes(key type) +
//   value_length * bytes(value type));
//              positions = context, or min(context, window * slots + batch) in layers with a
//              sliding window
//   compute  = batch * (4 * (8 * embedding + 3 * feed_forward) + 2 * context) + 4 * slots *
//   vocabulary,
//              and batch * heads * context * 4 more without flash attention
//   overhead = what the engine takes anyway: 48 MiB and 200 bytes for each token of the vocabulary;
//   on a GPU 512 MiB there
// Measured against llama-server build 11669 on the CPU: weights and kv cache agree to the byte,
// compute is 8 to 35 % above. `context` is the whole context of all slots: llama.cpp lets them
// share it. Its cache of old prompts (--cache-ram) comes on top.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"

namespace berth::formats {

enum class Attention { kFlash, kPlain };

struct EstimateRequest {
  std::uint64_t context = 4096;  // 0: what the model was trained with
  std::uint64_t batch = 512;     // micro-batch
  std::string key_type = "F16";  // ggml type names
  std::string value_type = "F16";
  std::uint64_t slots = 1;
  std::uint64_t gpu_layers = 0;             // of block_count + 1 (the last is the output)
  Attention attention = Attention::kFlash;  // llama.cpp's own choice where the device can
};

struct Estimate {
  std::uint64_t weights = 0;
  std::uint64_t kv_cache = 0;
  std::uint64_t compute = 0;
  std::uint64_t overhead = 0;
  std::uint64_t gpu = 0;     // of the total, what lies in GPU memory
  std::uint64_t host = 0;    // the rest
  std::uint64_t layers = 0;  // block_count + 1

  std::uint64_t total() const;  // of the four parts; stays at the top instead of wrapping
};

// What an estimate needs of a model, small enough to keep beside it: sums over the shards of a
// split model.
struct MemoryProfile {
  struct Layer {
    std::uint64_t bytes = 0;
    std::uint64_t kv_heads = 0;  // 0 in layers without attention (hybrid models)
    bool windowed = false;       // holds only a sliding window
  };
  GgufFacts facts;
  std::vector<Layer> layers;       // by block
  std::uint64_t input_bytes = 0;   // token embeddings: stay on the host
  std::uint64_t output_bytes = 0;  // output layer and what belongs to no block
};
// kCorrupt for numbers no model has (more than 4096 layers).
Result<MemoryProfile> memory_profile(const std::vector<Gguf>& shards);

// kInvalid for an unknown cache type.
Result<Estimate> estimate_memory(const MemoryProfile& profile, const EstimateRequest& request);

// How many layers fit into `gpu_bytes` (0 when none do).
Result<std::uint64_t> layers_that_fit(const MemoryProfile& profile, EstimateRequest request,
                                      std::uint64_t gpu_bytes);

}  // namespace berth::formats
