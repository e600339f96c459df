// Safetensors headers and the JSON files beside them, read with bounds; nothing declared is
// trusted.
//
// Pure, blocking on its source (call from the pool). Failure: kCorrupt with the rule that is
// broken, kTooLarge. Source: safetensors README and its Rust reader's error classes; rules: header
// at most 100 MB, unique names, offsets contiguous from 0 without holes or overlap up to the end of
// the file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/random_access.h"

namespace berth::formats {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t elements = 0;
};

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsTensor> tensors;  // by offset
  std::uint64_t data_offset = 0;
  std::uint64_t parameters = 0;
  std::string dtype;  // the one that holds most bytes; "" without tensors
};

Result<Safetensors> read_safetensors(const RandomAccess& source);

// config.json of a Hugging Face model: only what Berth uses, all optional.
struct HuggingFaceConfig {
  std::string architecture;  // architectures[0], else model_type
  std::string model_type;
  std::string dtype;         // torch_dtype or dtype
  std::string quantization;  // quantization_config.quant_method
  std::optional<std::uint64_t> context_length;
};
Result<HuggingFaceConfig> read_huggingface_config(std::string_view text);

// The weight files that model.safetensors.index.json names, sorted and unique; names that could
// leave their folder are refused.
Result<std::vector<std::string>> read_safetensors_index(std::string_view text);

}  // namespace berth::formats
