#include "atlas/header.h"

#include <array>

#include "base/text.h"
#include "formats/gguf.h"
#include "formats/random_access.h"
#include "formats/safetensors.h"

namespace berth::atlas {
namespace {

constexpr std::string_view kGguf = "gguf";
constexpr std::string_view kSafetensors = "safetensors";

// What the layer says it is; the media type counts more than the name.
std::string_view claimed_format(const model::File& layer) {
  const std::string_view type = layer.descriptor.media_type;
  if (type.find(kGguf) != std::string_view::npos || type.ends_with(".mmproj")) return kGguf;
  if (type.find(kSafetensors) != std::string_view::npos) return kSafetensors;
  const std::string path = to_lower(layer.path);
  if (path.ends_with(".gguf")) return kGguf;
  return path.ends_with(".safetensors") ? kSafetensors : "";
}

// What the first bytes say: GGUF's magic, or the length of a header (at most 100 MB, so that its
// high bytes are 0) and the brace of a JSON object.
Result<std::string_view> actual_format(const formats::RandomAccess& bytes) {
  std::array<std::byte, 9> start{};
  TRY(const std::size_t count, bytes.read_at(0, start));
  const std::string_view text = as_text(std::span(start).first(count));
  if (text.starts_with("GGUF")) return kGguf;
  const bool json =
      text.size() == start.size() && text.substr(4) == std::string_view("\0\0\0\0{", 5);
  return json ? kSafetensors : std::string_view();
}

Result<Header> gguf_header(const formats::RandomAccess& bytes) {
  TRY(const formats::Gguf gguf, formats::read_gguf(bytes));
  const formats::GgufFacts facts = formats::gguf_facts(gguf);
  return Header{.format = std::string(kGguf),
                .name = facts.name,
                .architecture = facts.architecture,
                .license = facts.license,
                .quantization = facts.quantization,
                .parameters = facts.parameters,
                .context_length = facts.context_length.value_or(0),
                .split_count = facts.split_count};
}

Result<Header> safetensors_header(const formats::RandomAccess& bytes) {
  TRY(const formats::Safetensors file, formats::read_safetensors(bytes));
  return Header{.format = std::string(kSafetensors),
                .quantization = file.dtype,
                .parameters = file.parameters};
}

}  // namespace

std::string shown(const model::File& layer) {
  return fmt::format("{} ({}:{})", printable(layer.path.empty() ? "a layer" : layer.path, 100),
                     layer.descriptor.digest.algorithm_name(), layer.descriptor.digest.short_hex());
}

Result<std::optional<Header>> read_header(const model::File& layer, const fs::File& blob) {
  const std::string_view claimed = claimed_format(layer);
  TRY(const formats::FileAccess bytes, formats::FileAccess::open(blob));
  TRY(const std::string_view actual, actual_format(bytes));
  if (claimed.empty() && actual.empty()) return std::nullopt;
  if (!claimed.empty() && !actual.empty() && claimed != actual) {
    return fail(Code::kInvalid,
                "{} is {} by its media type {}, but its bytes are {}: package the file again",
                shown(layer), claimed, printable(layer.descriptor.media_type, 100), actual);
  }
  auto header = claimed == kSafetensors || actual == kSafetensors ? safetensors_header(bytes)
                                                                  : gguf_header(bytes);
  if (header) return std::move(*header);
  return fail(Code::kInvalid, "{} is no sound {} file: {}; push the whole file again", shown(layer),
              claimed.empty() ? actual : claimed, printable(header.error().message(), 300));
}

}  // namespace berth::atlas
