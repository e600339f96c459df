#include <algorithm>
#include <map>

#include "formats/gguf.h"
#include "formats/utf8.h"

namespace berth::formats {
namespace {

constexpr std::uint64_t kMaxListed = 50;  // elements; longer arrays are vocabularies and the like

std::string to_text(const GgufScalar& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return lossy_utf8(*text);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{:.6f}", *number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  return fmt::format("{}", std::get<std::uint64_t>(value));
}

std::string to_text(const GgufArray& array) {
  std::string out;
  for (const GgufScalar& value : array.values) {
    if (!out.empty()) out += ", ";
    out += to_text(value);
  }
  return out;
}

std::string_view dominating_type(const Gguf& gguf) {
  std::map<std::uint32_t, std::uint64_t> bytes;
  for (const GgufTensor& tensor : gguf.tensors) bytes[tensor.type] += tensor.bytes;
  const auto most =
      std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most == bytes.end() ? "" : find_ggml_type(most->first)->name;
}

std::string quantization(const Gguf& gguf) {
  const auto file_type = gguf.number("general.file_type");
  const std::string_view name = file_type ? gguf_file_type_name(*file_type) : "";
  return std::string(name.empty() ? dominating_type(gguf) : name);
}

std::string text_or(const Gguf& gguf, std::string_view key, std::string_view otherwise) {
  return lossy_utf8(gguf.text(key).value_or(std::string(otherwise)));
}

std::uint64_t vocabulary(const Gguf& gguf, const std::string& architecture) {
  if (const auto size = gguf.number(architecture + ".vocab_size")) return *size;
  const GgufEntry* tokens = gguf.find("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->type != GgufType::kArray) return 0;
  return std::get<GgufArray>(tokens->value).count;
}

std::optional<std::uint64_t> feed_forward(const Gguf& gguf, const std::string& prefix,
                                          std::uint64_t experts_used) {
  const auto dense = gguf.largest(prefix + "feed_forward_length");
  const auto expert = gguf.largest(prefix + "expert_feed_forward_length");
  std::uint64_t experts = 0;
  if (!expert || __builtin_mul_overflow(*expert, experts_used, &experts)) return dense;
  return std::max(experts, dense.value_or(0));
}

// Saturates: hostile headers may declare more elements than fit.
std::uint64_t parameters(const Gguf& gguf) {
  std::uint64_t sum = 0;
  for (const GgufTensor& tensor : gguf.tensors) {
    if (__builtin_add_overflow(sum, tensor.elements, &sum)) return UINT64_MAX;
  }
  return sum;
}

}  // namespace

GgufFacts gguf_facts(const Gguf& gguf) {
  GgufFacts facts;
  facts.architecture = text_or(gguf, "general.architecture", "");
  facts.name = text_or(gguf, "general.name", "");
  facts.kind = text_or(gguf, "general.type", "model");
  facts.license = text_or(gguf, "general.license", "");
  facts.quantization = quantization(gguf);
  facts.chat_template = text_or(gguf, "tokenizer.chat_template", "");
  facts.parameters = parameters(gguf);
  const std::string prefix = gguf.text("general.architecture").value_or("") + ".";
  facts.context_length = gguf.number(prefix + "context_length");
  facts.embedding_length = gguf.number(prefix + "embedding_length");
  facts.block_count = gguf.number(prefix + "block_count");
  facts.head_count = gguf.largest(prefix + "attention.head_count");
  facts.kv_head_count = gguf.largest(prefix + "attention.head_count_kv");
  facts.key_length = gguf.number(prefix + "attention.key_length");
  facts.value_length = gguf.number(prefix + "attention.value_length");
  facts.sliding_window = gguf.largest(prefix + "attention.sliding_window");
  facts.expert_count = gguf.number(prefix + "expert_count");
  facts.experts_used = gguf.number(prefix + "expert_used_count");
  facts.feed_forward_length = feed_forward(gguf, prefix, facts.experts_used.value_or(0));
  facts.vocabulary = vocabulary(gguf, gguf.text("general.architecture").value_or(""));
  facts.split_number = gguf.number("split.no").value_or(0);
  facts.split_count = std::max<std::uint64_t>(1, gguf.number("split.count").value_or(1));
  return facts;
}

std::map<std::string, std::string> gguf_strings(const Gguf& gguf) {
  std::map<std::string, std::string> strings;
  for (const GgufEntry& entry : gguf.metadata) {
    if (const auto* array = std::get_if<GgufArray>(&entry.value)) {
      if (array->count <= kMaxListed) strings.emplace(lossy_utf8(entry.key), to_text(*array));
    } else {
      strings.emplace(lossy_utf8(entry.key), to_text(std::get<GgufScalar>(entry.value)));
    }
  }
  return strings;
}

}  // namespace berth::formats
