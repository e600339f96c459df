#include "engine/flag_table.h"

#include <algorithm>

namespace berth::engine {
namespace {

using O = EngineOptions;

constexpr std::int64_t kMostThreads = 1024;
constexpr std::int64_t kMostTokens = static_cast<std::int64_t>(kMaxContext);
constexpr double kAny = 1e6;

bool only(std::string_view value, std::string_view characters, std::size_t most) {
  return !value.empty() && value.size() <= most &&
         value.find_first_not_of(characters) == std::string_view::npos;
}

bool is_mask(std::string_view value) { return only(value, "0123456789abcdefABCDEFx", 258); }
bool is_range(std::string_view value) {
  return only(value, "0123456789-", 16) && std::ranges::count(value, '-') == 1 &&
         !value.starts_with('-') && !value.ends_with('-');
}
bool is_split(std::string_view value) {
  return only(value, "0123456789.,", 256) && !value.starts_with(',') && !value.ends_with(',');
}
// Device names as --list-devices prints them: CUDA0, Vulkan1, none.
bool is_device_list(std::string_view value) {
  return only(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,", 256) &&
         !value.starts_with(',') && !value.ends_with(',');
}
bool is_sampler_list(std::string_view value) {
  return only(value, "abcdefghijklmnopqrstuvwxyz_;", 256);
}

bool is_cache_type(std::string_view v) {
  return names_hold("f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1", v);
}
bool is_toggle(std::string_view v) { return names_hold("on off auto", v); }
bool is_on_off(std::string_view v) { return names_hold("on off", v); }
bool is_load_mode(std::string_view v) {
  return names_hold("auto none mmap mlock mmap+mlock dio", v);
}
bool is_split_mode(std::string_view v) { return names_hold("none layer row", v); }
bool is_rope_scaling(std::string_view v) { return names_hold("none linear yarn", v); }
bool is_pooling(std::string_view v) { return names_hold("none mean cls last rank", v); }
bool is_reasoning_format(std::string_view v) {
  return names_hold("auto none deepseek deepseek-legacy", v);
}

constexpr std::string_view kCacheTypes = "one of f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1";
constexpr std::string_view kDevices = "device names such as CUDA0,CUDA1 or none";

// In the order in which they are emitted. Not here on purpose: everything that names a file, a
// host, a URL, a key or a free text (--model --lora --host --api-key --chat-template --grammar
// --log-file --rpc …).
const Flag kFlags[] = {
    {"--ctx-size -c", IntegerField{&O::context_size, 0, kMostTokens}},
    {"--parallel -np", IntegerField{&O::parallel, 1, 256}},
    {"--batch-size -b", IntegerField{&O::batch, 1, 1 << 20}},
    {"--ubatch-size -ub", IntegerField{&O::ubatch, 1, 1 << 20}},
    {"--predict --n-predict -n", IntegerField{&O::predict, -2, kMostTokens}},
    {"--keep", IntegerField{&O::keep, -1, kMostTokens}},
    {"--threads -t", IntegerField{&O::threads, -1, kMostThreads}},
    {"--threads-batch -tb", IntegerField{&O::threads_batch, -1, kMostThreads}},
    {"--threads-http", IntegerField{&O::threads_http, -1, kMostThreads}},
    {"--cpu-mask -C", WordField{&O::cpu_mask, is_mask, "a hexadecimal mask"}},
    {"--cpu-range -Cr", WordField{&O::cpu_range, is_range, "a range such as 0-3"}},
    {"--cpu-strict", IntegerField{&O::cpu_strict, 0, 1}},
    {"--prio", IntegerField{&O::priority, -1, 2}},  // 3 is real time, which starves the machine
    {"--poll", IntegerField{&O::poll, 0, 100}},
    {"--cpu-mask-batch -Cb", WordField{&O::cpu_mask_batch, is_mask, "a hexadecimal mask"}},
    {"--cpu-range-batch -Crb", WordField{&O::cpu_range_batch, is_range, "a range such as 0-3"}},
    {"--cpu-strict-batch", IntegerField{&O::cpu_strict_batch, 0, 1}},
    {"--prio-batch", IntegerField{&O::priority_batch, 0, 2}},
    {"--poll-batch", IntegerField{&O::poll_batch, 0, 1}},
    {"--cont-batching -cb", SwitchField{&O::continuous_batching, "--no-cont-batching -nocb"}},
    {"--warmup", SwitchField{&O::warmup, "--no-warmup"}},
    {"--timeout -to", IntegerField{&O::timeout, 1, 86400}},
    {"--sleep-idle-seconds", IntegerField{&O::sleep_idle_seconds, -1, 1 << 30}},
    {"--verbosity -lv --log-verbosity", IntegerField{&O::verbosity, 0, 4}},
    {"--verbose -v --log-verbose", FixedInteger{&O::verbosity, 4}},

    {"--gpu-layers --n-gpu-layers -ngl", IntegerField{&O::gpu_layers, -1, 1 << 20}},
    {"--device -dev", WordField{&O::device, is_device_list, kDevices}},
    {"--split-mode -sm", WordField{&O::split_mode, is_split_mode, "none, layer or row"}},
    {"--tensor-split -ts", WordField{&O::tensor_split, is_split, "proportions such as 3,1"}},
    {"--main-gpu -mg", IntegerField{&O::main_gpu, 0, 64}},
    {"--n-cpu-moe -ncmoe", IntegerField{&O::cpu_moe_layers, 0, 1 << 20}},
    {"--cpu-moe -cmoe", SwitchField{&O::cpu_moe, ""}},
    {"--fit -fit", WordField{&O::fit, is_on_off, "on or off"}},
    {"--kv-offload -kvo", SwitchField{&O::kv_offload, "--no-kv-offload -nkvo"}},
    {"--op-offload", SwitchField{&O::op_offload, "--no-op-offload"}},
    {"--repack", SwitchField{&O::repack, "--no-repack -nr"}},
    {"--no-host", SwitchField{&O::no_host, ""}},
    {"--load-mode -lm",
     WordField{&O::load_mode, is_load_mode, "auto, none, mmap, mlock, mmap+mlock or dio"}},
    {"--mlock", FixedWord{&O::load_mode, "mmap+mlock"}},
    {"--mmap", FixedWord{&O::load_mode, "mmap"}},
    {"--no-mmap", FixedWord{&O::load_mode, "none"}},
    {"--direct-io -dio", FixedWord{&O::load_mode, "dio"}},
    {"--no-direct-io -ndio", FixedWord{&O::load_mode, "auto"}},
    {"--cache-type-k -ctk", WordField{&O::cache_type_k, is_cache_type, kCacheTypes}},
    {"--cache-type-v -ctv", WordField{&O::cache_type_v, is_cache_type, kCacheTypes}},
    {"--flash-attn -fa", WordField{&O::flash_attention, is_toggle, "on, off or auto", "on"}},
    {"--kv-unified -kvu", SwitchField{&O::kv_unified, "--no-kv-unified -no-kvu"}},
    {"--swa-full", SwitchField{&O::swa_full, ""}},
    {"--context-shift", SwitchField{&O::context_shift, "--no-context-shift"}},
    {"--cache-prompt", SwitchField{&O::cache_prompt, "--no-cache-prompt"}},
    {"--check-tensors", SwitchField{&O::check_tensors, ""}},
    {"--cache-ram -cram", IntegerField{&O::cache_ram, 0, 1 << 20}},  // no "unlimited"
    {"--cache-reuse", IntegerField{&O::cache_reuse, 0, kMostTokens}},

    {"--rope-scaling", WordField{&O::rope_scaling, is_rope_scaling, "none, linear or yarn"}},
    {"--rope-scale", RealField{&O::rope_scale, 0, kAny}},
    {"--rope-freq-base", RealField{&O::rope_freq_base, 0, 1e12}},
    {"--rope-freq-scale", RealField{&O::rope_freq_scale, 0, kAny}},
    {"--yarn-orig-ctx", IntegerField{&O::yarn_orig_context, 0, kMostTokens}},
    {"--yarn-ext-factor", RealField{&O::yarn_ext_factor, -1, kAny}},
    {"--yarn-attn-factor", RealField{&O::yarn_attn_factor, -1, kAny}},
    {"--yarn-beta-slow", RealField{&O::yarn_beta_slow, -1, kAny}},
    {"--yarn-beta-fast", RealField{&O::yarn_beta_fast, -1, kAny}},

    {"--seed -s", IntegerField{&O::seed, -1, 0xffffffff}},
    {"--samplers", WordField{&O::samplers, is_sampler_list, "names joined by ;"}},
    {"--temp --temperature", RealField{&O::temperature, 0, 100}},
    {"--top-k", IntegerField{&O::top_k, 0, 1 << 20}},
    {"--top-p", RealField{&O::top_p, 0, 1}},
    {"--min-p", RealField{&O::min_p, 0, 1}},
    {"--top-nsigma --top-n-sigma", RealField{&O::top_n_sigma, -1, 1000}},
    {"--xtc-probability", RealField{&O::xtc_probability, 0, 1}},
    {"--xtc-threshold", RealField{&O::xtc_threshold, 0, 1}},
    {"--typical --typical-p", RealField{&O::typical_p, 0, 1}},
    {"--repeat-last-n", IntegerField{&O::repeat_last_n, -1, kMostTokens}},
    {"--repeat-penalty", RealField{&O::repeat_penalty, 0, 100}},
    {"--presence-penalty", RealField{&O::presence_penalty, -100, 100}},
    {"--frequency-penalty", RealField{&O::frequency_penalty, -100, 100}},
    {"--dry-multiplier", RealField{&O::dry_multiplier, 0, 1000}},
    {"--dry-base", RealField{&O::dry_base, 0, 1000}},
    {"--dry-allowed-length", IntegerField{&O::dry_allowed_length, 0, kMostTokens}},
    {"--dry-penalty-last-n", IntegerField{&O::dry_penalty_last_n, -1, kMostTokens}},
    {"--mirostat", IntegerField{&O::mirostat, 0, 2}},
    {"--mirostat-lr", RealField{&O::mirostat_rate, 0, 100}},
    {"--mirostat-ent", RealField{&O::mirostat_entropy, 0, 100}},
    {"--dynatemp-range", RealField{&O::dynatemp_range, 0, 100}},
    {"--dynatemp-exp", RealField{&O::dynatemp_exponent, 0, 100}},
    {"--ignore-eos", SwitchField{&O::ignore_eos, ""}},
    {"--backend-sampling -bs", SwitchField{&O::backend_sampling, ""}},

    {"--reasoning-budget", IntegerField{&O::reasoning_budget, -1, kMostTokens}},
    {"--reasoning-format", WordField{&O::reasoning_format, is_reasoning_format,
                                     "auto, none, deepseek or deepseek-legacy"}},
    {"--pooling", WordField{&O::pooling, is_pooling, "none, mean, cls, last or rank"}},
    {"--jinja", SwitchField{&O::jinja, "--no-jinja"}},
    {"--prefill-assistant", SwitchField{&O::prefill_assistant, "--no-prefill-assistant"}},
    {"--spm-infill", SwitchField{&O::spm_infill, ""}},
    {"--lora-init-without-apply", SwitchField{&O::lora_init_without_apply, ""}},
    {"--mmproj-offload", SwitchField{&O::mmproj_offload, "--no-mmproj-offload"}},
    {"--image-min-tokens", IntegerField{&O::image_min_tokens, 1, 1 << 20}},
    {"--image-max-tokens", IntegerField{&O::image_max_tokens, 1, 1 << 20}},
    {"--slot-prompt-similarity -sps", RealField{&O::slot_prompt_similarity, 0, 1}},

    {"--spec-draft-n-max --draft --draft-n --draft-max", IntegerField{&O::draft_max, 0, 1024}},
    {"--spec-draft-n-min --draft-min --draft-n-min", IntegerField{&O::draft_min, 0, 1024}},
    {"--spec-draft-p-min --draft-p-min", RealField{&O::draft_p_min, 0, 1}},
    {"--spec-draft-ngl -ngld --gpu-layers-draft --n-gpu-layers-draft",
     IntegerField{&O::draft_gpu_layers, -1, 1 << 20}},
    {"--spec-draft-threads -td --threads-draft", IntegerField{&O::draft_threads, -1, kMostThreads}},
    {"--spec-draft-threads-batch -tbd --threads-batch-draft",
     IntegerField{&O::draft_threads_batch, -1, kMostThreads}},
    {"--spec-draft-device -devd --device-draft",
     WordField{&O::draft_device, is_device_list, kDevices}},
};

}  // namespace

std::span<const Flag> flag_table() { return kFlags; }

bool names_hold(std::string_view names, std::string_view name) {
  if (name.empty() || name.find(' ') != std::string_view::npos) return false;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find(' ', at), names.size());
    if (names.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace berth::engine
