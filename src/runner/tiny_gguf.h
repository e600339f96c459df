// For tests: writes a llama model of random weights that llama-server loads in milliseconds.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace berth::runner {

class TinyGguf {
 public:
  explicit TinyGguf(std::uint32_t width = 64, std::uint32_t layers = 2)
      : width_(width), layers_(layers) {}

  void write(const std::string& path) {
    describe_model();
    describe_tokens();
    describe_tensors();
    std::string head = "GGUF";
    put<std::uint32_t>(head, 3);
    put<std::uint64_t>(head, tensors_.size());
    put<std::uint64_t>(head, count_);
    head += pairs_;
    std::string data;
    for (const auto& [name, shape] : tensors_) add_tensor(head, data, name, shape);
    pad(head);
    std::ofstream(path, std::ios::binary) << head << data;
  }

 private:
  using Shape = std::vector<std::uint64_t>;

  template <class T>
  static void put(std::string& out, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
  }
  static void put_text(std::string& out, const std::string& text) {
    put<std::uint64_t>(out, text.size());
    out += text;
  }
  static void pad(std::string& out) { out.resize((out.size() + 31) / 32 * 32); }

  template <class T>
  void pair(const std::string& key, std::uint32_t type, T value) {
    put_text(pairs_, key);
    put(pairs_, type);
    if constexpr (std::is_same_v<T, const char*>) {
      put_text(pairs_, value);
    } else {
      put(pairs_, value);
    }
    ++count_;
  }
  void number(const std::string& key, std::uint32_t value) { pair(key, 4, value); }
  void real(const std::string& key, float value) { pair(key, 6, value); }
  void text(const std::string& key, const char* value) { pair(key, 8, value); }
  void array(const std::string& key, std::uint32_t type, std::uint64_t size) {
    put_text(pairs_, key);
    put<std::uint32_t>(pairs_, 9);
    put(pairs_, type);
    put(pairs_, size);
    ++count_;
  }

  void describe_model() {
    text("general.architecture", "llama");
    text("general.name", "tiny-random");
    number("general.file_type", 0);
    number("llama.context_length", 2048);
    number("llama.embedding_length", width_);
    number("llama.block_count", layers_);
    number("llama.feed_forward_length", 2 * width_);
    number("llama.attention.head_count", kHeads);
    number("llama.attention.head_count_kv", kHeads);
    number("llama.rope.dimension_count", width_ / kHeads);
    real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  }

  void describe_tokens() {
    std::vector<std::pair<std::string, std::int32_t>> tokens{{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}};
    for (int i = 0; i < 256; ++i) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(i));
      tokens.emplace_back(name, 6);
    }
    for (char c = 32; c < 127; ++c) tokens.emplace_back(std::string(1, c), 1);
    tokens.emplace_back("\xe2\x96\x81", 1);
    vocabulary_ = tokens.size();
    number("llama.vocab_size", static_cast<std::uint32_t>(vocabulary_));
    text("tokenizer.ggml.model", "llama");
    array("tokenizer.ggml.tokens", 8, vocabulary_);
    for (const auto& [token, type] : tokens) put_text(pairs_, token);
    array("tokenizer.ggml.scores", 6, vocabulary_);
    for (std::size_t i = 0; i < vocabulary_; ++i) put(pairs_, -static_cast<float>(i));
    array("tokenizer.ggml.token_type", 5, vocabulary_);
    for (const auto& [token, type] : tokens) put(pairs_, type);
    number("tokenizer.ggml.bos_token_id", 1);
    number("tokenizer.ggml.eos_token_id", 2);
    number("tokenizer.ggml.unknown_token_id", 0);
    text("tokenizer.chat_template",
         "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:");
  }

  void describe_tensors() {
    const std::uint64_t w = width_;
    tensors_ = {{"token_embd.weight", {w, vocabulary_}},
                {"output_norm.weight", {w}},
                {"output.weight", {w, vocabulary_}}};
    for (std::uint32_t i = 0; i < layers_; ++i) {
      const std::string block = "blk." + std::to_string(i) + ".";
      for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
        tensors_.push_back({block + name + ".weight", {w, w}});
      }
      for (const char* name : {"attn_norm", "ffn_norm"}) {
        tensors_.push_back({block + name + ".weight", {w}});
      }
      tensors_.push_back({block + "ffn_gate.weight", {w, 2 * w}});
      tensors_.push_back({block + "ffn_up.weight", {w, 2 * w}});
      tensors_.push_back({block + "ffn_down.weight", {2 * w, w}});
    }
  }

  void add_tensor(std::string& head, std::string& data, const std::string& name,
                  const Shape& shape) {
    put_text(head, name);
    put(head, static_cast<std::uint32_t>(shape.size()));
    std::uint64_t elements = 1;
    for (const std::uint64_t size : shape) {
      put(head, size);
      elements *= size;
    }
    put<std::uint32_t>(head, 0);  // f32
    put<std::uint64_t>(head, data.size());
    std::normal_distribution<float> weight(0, 0.05F);
    for (std::uint64_t i = 0; i < elements; ++i)
      put(data, shape.size() == 1 ? 1.0F : weight(random_));
    pad(data);
  }

  static constexpr std::uint32_t kHeads = 4;
  std::uint32_t width_;
  std::uint32_t layers_;
  std::uint64_t vocabulary_ = 0;
  std::uint64_t count_ = 0;
  std::string pairs_;
  std::vector<std::pair<std::string, Shape>> tensors_;
  std::mt19937 random_{1};
};

}  // namespace berth::runner
