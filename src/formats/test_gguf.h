// Small GGUF and safetensors files for tests, well-formed unless asked otherwise. Test code only.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"

namespace berth::formats::testing {

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
inline void put_string(std::string& out, std::string_view text) {
  put<std::uint64_t>(out, text.size());
  out += text;
}

class GgufBuilder {
 public:
  // What a hostile writer may set.
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::optional<std::int64_t> declared_tensors;
  std::optional<std::int64_t> declared_keys;
  std::uint64_t alignment = 32;

  GgufBuilder& text(std::string_view key, std::string_view value) {
    begin(key, 8);
    put_string(keys_, value);
    return *this;
  }
  GgufBuilder& u32(std::string_view key, std::uint32_t value) { return raw(key, 4, value); }
  GgufBuilder& flag(std::string_view key, std::uint8_t value) { return raw(key, 7, value); }
  GgufBuilder& f32(std::string_view key, float value) { return raw(key, 6, value); }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, 8, values.size());
    for (const std::string& value : values) put_string(keys_, value);
    return *this;
  }
  GgufBuilder& u32s(std::string_view key, const std::vector<std::uint32_t>& values) {
    begin_array(key, 4, values.size());
    for (const std::uint32_t value : values) put(keys_, value);
    return *this;
  }
  template <class T>
  GgufBuilder& raw(std::string_view key, std::uint32_t type, T value) {
    begin(key, type);
    put(keys_, value);
    return *this;
  }
  // Only the head of an array: element type and declared count.
  GgufBuilder& begin_array(std::string_view key, std::uint32_t element, std::uint64_t count) {
    begin(key, 9);
    put(keys_, element);
    put(keys_, count);
    return *this;
  }
  // A key whose value is whatever `bytes` says.
  GgufBuilder& bytes(std::string_view key, std::uint32_t type, std::string_view value) {
    begin(key, type);
    keys_ += value;
    return *this;
  }

  struct Tensor {
    std::string name;
    std::vector<std::int64_t> dims;
    std::uint32_t type = 0;               // F32
    std::optional<std::uint64_t> offset;  // otherwise the right one
    std::optional<std::uint32_t> n_dims;  // otherwise dims.size()
  };
  GgufBuilder& tensor(Tensor tensor) {
    tensors_.push_back(std::move(tensor));
    return *this;
  }
  GgufBuilder& tensor(std::string name, std::vector<std::int64_t> dims, std::uint32_t type = 0) {
    return tensor(Tensor{std::move(name), std::move(dims), type, {}, {}});
  }

  // The header alone, padded to the data.
  std::string header() const {
    std::string out = magic;
    put(out, version);
    put<std::int64_t>(out, declared_tensors.value_or(static_cast<std::int64_t>(tensors_.size())));
    put<std::int64_t>(out, declared_keys.value_or(key_count_));
    out += keys_;
    std::uint64_t offset = 0;
    for (const Tensor& tensor : tensors_) {
      put_tensor(out, tensor, offset);
      offset += pad(size_of(tensor));
    }
    out.resize(pad(out.size()));
    return out;
  }
  std::string build(char fill = 0) const {
    std::string out = header();
    std::uint64_t data = 0;
    for (const Tensor& tensor : tensors_) data += pad(size_of(tensor));
    out.resize(out.size() + data, fill);
    return out;
  }

 private:
  void begin(std::string_view key, std::uint32_t type) {
    put_string(keys_, key);
    put(keys_, type);
    ++key_count_;
  }
  std::uint64_t pad(std::uint64_t value) const {
    return (value + alignment - 1) / alignment * alignment;
  }
  static std::uint64_t size_of(const Tensor& tensor) {
    const GgmlType* type = find_ggml_type(tensor.type);
    std::uint64_t elements = 1;
    for (const std::int64_t dim : tensor.dims) elements *= static_cast<std::uint64_t>(dim);
    return type == nullptr ? 0 : elements / type->block_elements * type->block_bytes;
  }
  static void put_tensor(std::string& out, const Tensor& tensor, std::uint64_t offset) {
    put_string(out, tensor.name);
    put<std::uint32_t>(out, tensor.n_dims.value_or(static_cast<std::uint32_t>(tensor.dims.size())));
    for (const std::int64_t dim : tensor.dims) put(out, dim);
    put(out, tensor.type);
    put(out, tensor.offset.value_or(offset));
  }

  std::string keys_;
  std::int64_t key_count_ = 0;
  std::vector<Tensor> tensors_;
};

// A two-block llama of 16 x 4 with the keys that Berth reads.
inline GgufBuilder tiny_llama() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .text("general.name", "tiny")
      .u32("general.file_type", 1)
      .u32("llama.context_length", 2048)
      .u32("llama.embedding_length", 16)
      .u32("llama.block_count", 2)
      .u32("llama.attention.head_count", 4)
      .u32("llama.attention.head_count_kv", 2)
      .f32("llama.attention.layer_norm_rms_epsilon", 1e-5F)
      .texts("tokenizer.ggml.tokens", {"<s>", "</s>", "a", "b"})
      .text("tokenizer.chat_template", "{{ messages }}")
      .tensor("token_embd.weight", {16, 4}, 1)
      .tensor("blk.0.attn_q.weight", {16, 16}, 1)
      .tensor("blk.1.attn_q.weight", {16, 16}, 1)
      .tensor("output_norm.weight", {16});
  return builder;
}

// One shard of a split model: only the first has the metadata, as llama.cpp writes it.
inline std::string tiny_shard(std::uint16_t number, std::uint16_t count) {
  GgufBuilder builder;
  if (number == 0) builder.text("general.architecture", "llama").u32("general.file_type", 15);
  builder.raw<std::uint16_t>("split.no", 2, number)
      .raw<std::uint16_t>("split.count", 2, count)
      .raw<std::int32_t>("split.tensors.count", 5, count)
      .tensor("blk." + std::to_string(number) + ".attn_q.weight", {16, 16}, 1);
  return builder.build();
}

// 8-byte length, header, data.
inline std::string safetensors_file(std::string_view header, std::uint64_t data_bytes) {
  std::string out;
  put<std::uint64_t>(out, header.size());
  out += header;
  out.append(data_bytes, '\0');
  return out;
}

inline std::string tiny_safetensors() {
  return safetensors_file(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},)"
      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
      16);
}

}  // namespace berth::formats::testing
