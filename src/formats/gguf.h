// GGUF headers: a bounded reader that trusts no declared size, and what the header says about the
// model.
//
// Pure, blocking on its source (call from the pool). Failure: kCorrupt with a sentence that names
// the field, kUnsupported for versions and types that are not known, kTooLarge over a bound.
// Source: ggml docs/gguf.md; rules of docs/security (magic, versions 2 and 3, unique keys, 128-bit
// sizes, offsets without gaps, data inside the file).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "formats/random_access.h"

namespace berth::formats {

enum class GgufType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Values of arrays longer than kMaxArrayKept are skipped: `values` is empty and only element type
// and count stay.
inline constexpr std::uint64_t kMaxArrayKept = 1024;

using GgufScalar = std::variant<std::uint64_t, std::int64_t, double, bool, std::string>;
struct GgufArray {
  GgufType element;
  std::uint64_t count = 0;
  std::vector<GgufScalar> values;
};
struct GgufEntry {
  std::string key;
  GgufType type;
  std::variant<GgufScalar, GgufArray> value;
};

struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t> dims;
  std::uint32_t type = 0;
  std::uint64_t offset = 0;  // from data_offset
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

struct Gguf {
  std::uint32_t version = 0;
  std::vector<GgufEntry> metadata;  // in the order of the file
  std::vector<GgufTensor> tensors;
  std::uint64_t alignment = 32;
  std::uint64_t data_offset = 0;
  std::uint64_t data_bytes = 0;  // of all tensors with their padding
  std::uint64_t file_size = 0;
  std::uint64_t trailing_bytes = 0;  // after the last tensor: a finding, not an error

  const GgufEntry* find(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;  // absent or not a string: nullopt
  std::optional<std::uint64_t> number(std::string_view key) const;  // any integer type >= 0
  // An integer, or the largest of an integer array (some architectures give heads per layer).
  std::optional<std::uint64_t> largest(std::string_view key) const;
};

Result<Gguf> read_gguf(const RandomAccess& source);

// One tensor type of ggml: elements per block, bytes per block.
struct GgmlType {
  std::uint32_t id;
  std::string_view name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};
const GgmlType* find_ggml_type(std::uint32_t id);
const GgmlType* find_ggml_type(std::string_view name);  // "Q4_K", either case

// What a header says about the model. Numbers are absent when the header has none.
struct GgufFacts {
  std::string architecture;
  std::string name;
  std::string kind;  // general.type: "model", "adapter", "mmproj", …; "model" when absent
  std::string license;
  std::string quantization;  // "Q4_K_M": general.file_type, else the type that holds most bytes
  std::string chat_template;
  std::uint64_t parameters = 0;
  std::optional<std::uint64_t> context_length;
  std::optional<std::uint64_t> embedding_length;
  std::optional<std::uint64_t> block_count;
  std::optional<std::uint64_t> head_count;
  std::optional<std::uint64_t> kv_head_count;
  std::optional<std::uint64_t> key_length;
  std::optional<std::uint64_t> value_length;
  std::optional<std::uint64_t> sliding_window;
  std::optional<std::uint64_t>
      feed_forward_length;  // of a layer: of all experts that a token uses, when there are experts
  std::optional<std::uint64_t> expert_count;
  std::optional<std::uint64_t> experts_used;
  std::uint64_t vocabulary = 0;
  std::uint64_t split_number = 0;  // zero-based
  std::uint64_t split_count = 1;

  bool is_lora() const { return kind == "adapter"; }
  bool is_projector() const { return kind == "mmproj" || architecture == "clip"; }
};
GgufFacts gguf_facts(const Gguf& gguf);

// The name llama.cpp gives a general.file_type ("Q4_K_M"); "" when unknown.
std::string_view gguf_file_type_name(std::uint64_t file_type);

// Metadata as strings, as Docker Model Runner's config has it: arrays over 50 elements are left
// out.
std::map<std::string, std::string> gguf_strings(const Gguf& gguf);

}  // namespace berth::formats
