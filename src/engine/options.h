// Options of an engine, typed and bounded, and the table that parses Docker Model Runner's runtime
// flags into them.
//
// Pure, any thread. Nothing free-form reaches an engine's command line: a flag that is not in the
// table is refused (kInvalid, naming it and the known ones), a value is a number within bounds, a
// word of a closed list or a short pattern of digits. Flags that name files, hosts or keys are not
// in the table on purpose. Source: llama-server --help of build 11669; facts 5 and B.9 point 7.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::engine {

enum class Mode { kCompletion, kEmbedding, kReranking };
std::string_view to_string(Mode mode);  // "completion", "embedding", "reranking"
std::optional<Mode> mode_from_string(std::string_view name);

// Absent means: the engine's own default (or Berth's, where plan() has one).
struct EngineOptions {
  using Integer = std::optional<std::int64_t>;
  using Real = std::optional<double>;
  using Switch = std::optional<bool>;
  using Word = std::optional<std::string>;  // of a closed list or pattern, checked by the table

  Mode mode = Mode::kCompletion;

  // Size of the work
  Integer context_size;  // 0: what the model was trained with
  Integer parallel;      // request slots
  Integer batch, ubatch;
  Integer predict, keep;
  Integer threads, threads_batch, threads_http;
  Word cpu_mask, cpu_mask_batch, cpu_range, cpu_range_batch;
  Integer cpu_strict, cpu_strict_batch, priority, priority_batch, poll, poll_batch;
  Switch continuous_batching, warmup;
  Integer timeout, sleep_idle_seconds, verbosity;
  Word fit;  // let the engine adapt what is not set to device memory

  // Devices and memory
  Integer gpu_layers;  // absent: by estimate
  Word device, split_mode, tensor_split;
  Integer main_gpu, cpu_moe_layers;
  Switch cpu_moe, kv_offload, op_offload, repack, no_host;
  Word load_mode;  // auto none mmap mlock mmap+mlock dio
  Word cache_type_k, cache_type_v, flash_attention;
  Switch kv_unified, swa_full, context_shift, cache_prompt, check_tensors;
  Integer cache_ram, cache_reuse;

  // Position encoding
  Word rope_scaling;
  Real rope_scale, rope_freq_base, rope_freq_scale;
  Integer yarn_orig_context;
  Real yarn_ext_factor, yarn_attn_factor, yarn_beta_slow, yarn_beta_fast;

  // Sampling defaults
  Integer seed, top_k, repeat_last_n, dry_allowed_length, dry_penalty_last_n, mirostat;
  Real temperature, top_p, min_p, top_n_sigma, xtc_probability, xtc_threshold, typical_p;
  Real repeat_penalty, presence_penalty, frequency_penalty, dry_multiplier, dry_base;
  Real mirostat_rate, mirostat_entropy, dynatemp_range, dynatemp_exponent;
  Switch ignore_eos, backend_sampling;
  Word samplers;

  // Chat, embeddings, images
  Integer reasoning_budget;  // -1 unlimited, 0 none
  Word reasoning_format, pooling;
  Switch jinja, prefill_assistant, spm_infill, lora_init_without_apply;
  Switch mmproj_offload;
  Integer image_min_tokens, image_max_tokens;
  Real slot_prompt_similarity;

  // Speculative decoding; the draft model itself is a file of the launch
  Integer draft_max, draft_min, draft_gpu_layers, draft_threads, draft_threads_batch;
  Real draft_p_min;
  Word draft_device;

  bool operator==(const EngineOptions&) const = default;
};

// Parses flags such as {"--threads", "4", "-fa=on", "--no-mmap"}, in order, into `into` (a later
// one wins). kInvalid names the flag and what would be right.
Result<EngineOptions> parse_runtime_flags(std::span<const std::string> flags,
                                          EngineOptions into = {});
// Splits DMR's raw-runtime-flags into words: blanks, '…' and "…" as in a shell, nothing expanded.
Result<std::vector<std::string>> split_runtime_flags(std::string_view raw);
// The canonical flags, in the table's order: parse_runtime_flags of them gives the same options
// (mode is not among them).
std::vector<std::string> to_flags(const EngineOptions& options);
// `over`'s present options laid over `base`'s; the mode is over's.
EngineOptions merge(EngineOptions base, const EngineOptions& over);
// Every flag that is known, one spelling each, sorted.
std::vector<std::string_view> known_flags();
// Distinguishes engines of one model that were started differently: part of a load's key.
std::string fingerprint(const EngineOptions& options);

// The context to start with: asked for > packaged with the artifact > configured default > the
// smaller of the model's own and kDefaultContext.
inline constexpr std::uint64_t kDefaultContext = 8192;
inline constexpr std::uint64_t kMaxContext = 16 * 1024 * 1024;
struct ContextChoice {
  std::optional<std::uint64_t> asked;       // --ctx, _configure
  std::optional<std::uint64_t> packaged;    // the artifact's context_size
  std::optional<std::uint64_t> configured;  // config.toml
  std::optional<std::uint64_t> trained;     // the header's context_length
};
std::uint64_t choose_context(const ContextChoice& choice);

}  // namespace berth::engine
