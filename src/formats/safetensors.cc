#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "formats/cursor.h"
#include "fs/file.h"
#include "json/json.h"

namespace berth::formats {
namespace {

constexpr std::uint64_t kFormatHeaderLimit = 100'000'000;  // the format's own
constexpr std::uint64_t kMaxHeaderBytes = 32ULL << 20;  // ours: real headers have a few megabytes
constexpr std::size_t kMaxHeaderDepth = 8;
constexpr std::size_t kMaxConfigBytes = 64ULL << 20;
constexpr std::size_t kMaxDims = 32;
constexpr std::uint64_t kMaxSigned = INT64_MAX;

constexpr auto kDtypeBits = std::to_array<std::pair<std::string_view, std::uint64_t>>({
    {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},
    {"F16", 16},    {"BF16", 16},       {"I32", 32},        {"U32", 32},    {"F32", 32},
    {"I64", 64},    {"U64", 64},        {"F64", 64},        {"C64", 64},    {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6},
});

std::optional<std::uint64_t> bits_of(std::string_view dtype) {
  const auto found =
      std::ranges::find(kDtypeBits, dtype, [](const auto& entry) { return entry.first; });
  return found == kDtypeBits.end() ? std::nullopt : std::optional(found->second);
}

Error corrupt(Error error) {
  return {error.code() == Code::kInvalid ? Code::kCorrupt : error.code(), error.message()};
}

Result<std::string> read_header(const RandomAccess& source) {
  Cursor in(source, kFormatHeaderLimit + 8);
  if (source.size() < 8) {
    return fail(Code::kCorrupt, "this is not a safetensors file: {} bytes are too few",
                source.size());
  }
  TRY(const std::uint64_t length, in.number<std::uint64_t>("the header length"));
  if (length > kFormatHeaderLimit) {
    return fail(Code::kCorrupt, "the safetensors header declares {} bytes; the format allows {}",
                length, kFormatHeaderLimit);
  }
  if (length > in.remaining()) {
    return fail(Code::kCorrupt, "the safetensors header declares {} bytes where {} remain", length,
                in.remaining());
  }
  if (length > kMaxHeaderBytes) {
    return fail(Code::kTooLarge, "the safetensors header has {} bytes; at most {} are read", length,
                kMaxHeaderBytes);
  }
  TRY(std::string header, in.text(length, "the safetensors header"));
  if (!header.starts_with('{')) {
    return fail(Code::kCorrupt, "the safetensors header does not begin with an opening brace");
  }
  const std::size_t end = header.find_last_not_of(' ');
  if (header[end] != '}')
    return fail(Code::kCorrupt, "the safetensors header is followed by other than spaces");
  return header;
}

Result<std::map<std::string, std::string>> read_metadata(const json::View& view) {
  std::map<std::string, std::string> metadata;
  TRY(const auto members, view.object());
  for (const auto& [key, value] : members) {
    TRY(std::string text, value.string());
    metadata.emplace(key, std::move(text));
  }
  return metadata;
}

// The offsets say how many bytes; shape and dtype must say the same.
Status measure(SafetensorsTensor& tensor) {
  const auto bits = bits_of(tensor.dtype);
  if (!bits) {
    return fail(Code::kUnsupported, "the safetensors tensor {} has the type {}, which is not known",
                printable(tensor.name), printable(tensor.dtype));
  }
  unsigned __int128 product = 1;
  bool empty = false;
  for (const std::uint64_t dim : tensor.shape) {
    empty = empty || dim == 0;
    product *= std::max<std::uint64_t>(dim, 1);
    if (product > kMaxSigned) {
      return fail(Code::kCorrupt,
                  "the shape of the safetensors tensor {} multiplies to more than 2^63 elements",
                  printable(tensor.name));
    }
  }
  tensor.elements = empty ? 0 : static_cast<std::uint64_t>(product);
  const auto total_bits = static_cast<unsigned __int128>(tensor.elements) * *bits;
  if (total_bits % 8 != 0) {
    return fail(Code::kCorrupt, "the safetensors tensor {} does not fill whole bytes",
                printable(tensor.name));
  }
  if (total_bits / 8 != tensor.end - tensor.begin) {
    return fail(
        Code::kCorrupt,
        "the safetensors tensor {} has {} bytes by its offsets, but not by its shape and type",
        printable(tensor.name), tensor.end - tensor.begin);
  }
  return {};
}

// Counted before views of the elements are made: each is far bigger than the digit it stands for.
Result<std::vector<json::View>> short_array(const json::View& tensor, std::string_view key,
                                            std::size_t most) {
  TRY(const json::View view, tensor.at(key));
  const json::Array* array = view.value().if_array();
  if (array != nullptr && array->size() > most) {
    return fail(Code::kCorrupt, "{}: {} numbers are more than the {} possible", view.path(),
                array->size(), most);
  }
  return view.array();
}

Result<SafetensorsTensor> read_tensor(const std::string& name, const json::View& view) {
  SafetensorsTensor tensor;
  tensor.name = name;
  TRY(tensor.dtype, view.string("dtype"));
  TRY(const auto dims, short_array(view, "shape", kMaxDims));
  for (const json::View& dim : dims) {
    TRY(const std::uint64_t value, dim.u64());
    tensor.shape.push_back(value);
  }
  TRY(const auto pair, short_array(view, "data_offsets", 2));
  if (pair.size() != 2) {
    return fail(Code::kCorrupt, "{}.data_offsets: expected two numbers", view.path());
  }
  TRY(tensor.begin, pair[0].u64());
  TRY(tensor.end, pair[1].u64());
  if (tensor.end < tensor.begin) {
    return fail(Code::kCorrupt, "the safetensors tensor {} ends at {} before it begins at {}",
                printable(name), tensor.end, tensor.begin);
  }
  TRY_OK(measure(tensor));
  return tensor;
}

// No byte of the file is unaccounted for and none belongs to two tensors: that leaves no room for a
// second format inside.
Status check_layout(const Safetensors& file, std::uint64_t data_bytes) {
  std::uint64_t next = 0;
  for (const SafetensorsTensor& tensor : file.tensors) {
    if (tensor.begin != next) {
      return fail(Code::kCorrupt,
                  "the safetensors tensor {} begins at {} where {} is the next free byte",
                  printable(tensor.name), tensor.begin, next);
    }
    next = tensor.end;
  }
  if (next == data_bytes) return {};
  return fail(Code::kCorrupt, "the safetensors tensors take {} bytes and the file holds {}", next,
              data_bytes);
}

void sum_up(Safetensors& file) {
  std::map<std::string, std::uint64_t> bytes;
  for (const SafetensorsTensor& tensor : file.tensors) {
    bytes[tensor.dtype] += tensor.end - tensor.begin;
    if (__builtin_add_overflow(file.parameters, tensor.elements, &file.parameters))
      file.parameters = UINT64_MAX;
  }
  const auto most =
      std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  if (most != bytes.end()) file.dtype = most->first;
}

Result<Safetensors> read_members(const json::View& header) {
  Safetensors file;
  TRY(const auto members, header.object());
  for (const auto& [name, view] : members) {
    if (name == "__metadata__") {
      TRY(file.metadata, read_metadata(view));
      continue;
    }
    TRY(SafetensorsTensor tensor, read_tensor(name, view));
    file.tensors.push_back(std::move(tensor));
  }
  std::ranges::sort(file.tensors, {},
                    [](const auto& tensor) { return std::pair(tensor.begin, tensor.end); });
  return file;
}

std::optional<std::uint64_t> positive(const json::View& config, std::string_view key) {
  const auto view = config.find(key);
  if (!view) return std::nullopt;
  const auto number = view->u64();
  // Some configs hold 1e30 for "no limit".
  return number && *number > 0 && *number <= INT32_MAX ? std::optional(*number) : std::nullopt;
}

std::optional<std::uint64_t> context_length(const json::View& config) {
  // The order of llama.cpp's converter.
  for (const std::string_view key : {"max_position_embeddings", "n_ctx", "n_positions",
                                     "max_length", "max_sequence_length", "model_max_length"}) {
    if (const auto length = positive(config, key)) return length;
  }
  const auto nested = config.find("text_config");
  return nested ? positive(*nested, "max_position_embeddings") : std::nullopt;
}

}  // namespace

Result<Safetensors> read_safetensors(const RandomAccess& source) {
  TRY(const std::string header, read_header(source));
  auto value = json::parse(header, "the safetensors header",
                           {.bytes = kMaxHeaderBytes, .depth = kMaxHeaderDepth});
  if (!value) return std::unexpected(corrupt(value.error()));
  auto file = read_members(json::View(*value, "header"));
  if (!file) return std::unexpected(corrupt(file.error()));
  file->data_offset = 8 + header.size();
  TRY_OK(check_layout(*file, source.size() - file->data_offset));
  sum_up(*file);
  return std::move(*file);
}

Result<HuggingFaceConfig> read_huggingface_config(std::string_view text) {
  TRY(const json::Value value, json::parse(text, "config.json", {.bytes = kMaxConfigBytes}));
  const json::View view(value, "config.json");
  TRY_OK(view.object());
  HuggingFaceConfig config;
  TRY(const auto architectures, view.strings_or_empty("architectures"));
  TRY(config.model_type, view.string_or("model_type", ""));
  config.architecture = architectures.empty() ? config.model_type : architectures[0];
  TRY(config.dtype, view.string_or("torch_dtype", ""));
  if (config.dtype.empty()) {
    TRY(config.dtype, view.string_or("dtype", ""));
  }
  if (const auto quantization = view.find("quantization_config")) {
    TRY(config.quantization, quantization->string_or("quant_method", ""));
  }
  config.context_length = context_length(view);
  return config;
}

Result<std::vector<std::string>> read_safetensors_index(std::string_view text) {
  TRY(const json::Value value,
      json::parse(text, "the safetensors index", {.bytes = kMaxConfigBytes}));
  TRY(const json::View map, json::View(value, "index").at("weight_map"));
  TRY(const auto members, map.object());
  std::set<std::string> names;
  for (const auto& [tensor, file] : members) {
    TRY(std::string name, file.string());
    TRY_OK(in_context(fs::check_relative_path(name),
                      "the safetensors index names a file outside its folder"));
    names.insert(std::move(name));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace berth::formats
