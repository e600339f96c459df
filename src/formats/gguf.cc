#include "formats/gguf.h"

#include <array>
#include <limits>
#include <set>

#include "formats/cursor.h"

namespace berth::formats {
namespace {

// Bounds of ours, far above any real model, so that a header cannot make us allocate without end.
constexpr std::uint64_t kMaxHeaderBytes = 1ULL << 30;
constexpr std::uint64_t kMaxKeys = 65'536;
constexpr std::uint64_t kMaxTensors = 262'144;
constexpr std::uint64_t kMaxKeyBytes = 65'535;
constexpr std::uint64_t kMaxStringBytes = 64ULL << 20;
constexpr std::uint64_t kMaxKeptBytes = 128ULL << 20;
constexpr std::uint64_t kMaxAlignment = 1ULL << 20;
constexpr std::uint64_t kMaxNameBytes = 63;  // GGML_MAX_NAME with its final zero is 64
constexpr std::uint32_t kMaxDims = 4;
constexpr std::uint64_t kMaxSplits = 99'999;
constexpr std::uint64_t kSmallestEntry = 8 + 1 + 4 + 1;  // key length, key, type, value
constexpr std::uint64_t kSmallestTensor =
    8 + 1 + 4 + 4 + 8;  // name length, name, dims, type, offset
constexpr std::uint64_t kMaxSigned = std::numeric_limits<std::int64_t>::max();

std::uint64_t padded(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// Bytes of one value on disk; a string's is its length field.
constexpr std::array<std::uint64_t, 13> kTypeBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8};

class Reader {
 public:
  explicit Reader(const RandomAccess& source) : in_(source, kMaxHeaderBytes) {
    out_.file_size = source.size();
  }

  Result<Gguf> read() {
    TRY_OK(read_head());
    for (std::uint64_t i = 0; i < keys_; ++i) TRY_OK(read_entry());
    TRY_OK(check_alignment());
    TRY_OK(check_split());
    for (std::uint64_t i = 0; i < tensors_; ++i) TRY_OK(read_tensor());
    TRY_OK(check_data());
    return std::move(out_);
  }

 private:
  Status read_head();
  Status check_version();
  Status read_entry();
  Result<std::string> read_key();
  Result<GgufType> read_type(std::string_view key);
  Result<GgufScalar> read_scalar(GgufType type, const std::string& key);
  Result<std::string> read_string(const std::string& key);
  Result<GgufArray> read_array(const std::string& key);
  Status skip_elements(const GgufArray& array, const std::string& key);
  Status read_tensor();
  Status read_dims(GgufTensor& tensor);
  Status measure(GgufTensor& tensor);
  Status check_alignment();
  Status check_split();
  Status check_data();

  template <class T, class As>
  Result<GgufScalar> read_as(const std::string& key) {
    TRY(const T value, in_.number<T>(key));
    return GgufScalar(static_cast<As>(value));
  }

  Cursor in_;
  Gguf out_;
  std::uint64_t keys_ = 0;
  std::uint64_t tensors_ = 0;
  std::uint64_t kept_bytes_ = 0;
  std::uint64_t next_offset_ = 0;
  std::set<std::string> seen_keys_;
  std::set<std::string> seen_tensors_;
};

Status Reader::read_head() {
  TRY(const std::string magic, in_.text(4, "the GGUF magic"));
  if (magic != "GGUF") {
    return fail(Code::kCorrupt,
                "this is not a GGUF file: it begins with \"{}\" instead of \"GGUF\"",
                printable(magic));
  }
  TRY_OK(check_version());
  TRY(const std::int64_t tensors, in_.number<std::int64_t>("the number of tensors"));
  TRY(const std::int64_t keys, in_.number<std::int64_t>("the number of metadata keys"));
  if (tensors < 0 || static_cast<std::uint64_t>(tensors) > in_.remaining() / kSmallestTensor) {
    return fail(Code::kCorrupt, "the GGUF header declares {} tensors, which cannot be in {} bytes",
                tensors, in_.remaining());
  }
  if (keys < 0 || static_cast<std::uint64_t>(keys) > in_.remaining() / kSmallestEntry) {
    return fail(Code::kCorrupt,
                "the GGUF header declares {} metadata keys, which cannot be in {} bytes", keys,
                in_.remaining());
  }
  tensors_ = static_cast<std::uint64_t>(tensors);
  keys_ = static_cast<std::uint64_t>(keys);
  if (tensors_ > kMaxTensors || keys_ > kMaxKeys) {
    return fail(
        Code::kTooLarge,
        "the GGUF header declares {} tensors and {} metadata keys; at most {} and {} are read",
        tensors_, keys_, kMaxTensors, kMaxKeys);
  }
  return {};
}

Status Reader::check_version() {
  TRY(out_.version, in_.number<std::uint32_t>("the GGUF version"));
  if (out_.version == 2 || out_.version == 3) return {};
  if (out_.version == 1) {
    return fail(Code::kUnsupported,
                "GGUF version 1 is no longer read by llama.cpp: convert the model again with a "
                "current tool");
  }
  if (out_.version != 0 && (out_.version & 0xFFFF) == 0) {
    return fail(Code::kUnsupported,
                "the GGUF file has big-endian byte order, which is not for this machine: convert "
                "it to little-endian");
  }
  return fail(Code::kUnsupported, "GGUF version {} is not known; versions 2 and 3 are read",
              out_.version);
}

Result<std::string> Reader::read_key() {
  TRY(const std::uint64_t length, in_.number<std::uint64_t>("the length of a metadata key"));
  if (length == 0 || length > kMaxKeyBytes) {
    return fail(Code::kCorrupt, "a GGUF metadata key is {} bytes long; 1 to {} are allowed", length,
                kMaxKeyBytes);
  }
  TRY(std::string key, in_.text(length, "a metadata key"));
  if (!seen_keys_.insert(key).second) {
    return fail(Code::kCorrupt, "the GGUF metadata key {} comes twice", printable(key));
  }
  return key;
}

Result<GgufType> Reader::read_type(std::string_view key) {
  TRY(const std::uint32_t type, in_.number<std::uint32_t>("the type of a metadata value"));
  if (type >= kTypeBytes.size()) {
    return fail(Code::kCorrupt, "the GGUF metadata key {} has the unknown value type {}",
                printable(key), type);
  }
  return static_cast<GgufType>(type);
}

Status Reader::read_entry() {
  TRY(std::string key, read_key());
  TRY(const GgufType type, read_type(key));
  kept_bytes_ += key.size();
  if (type == GgufType::kArray) {
    TRY(GgufArray array, read_array(key));
    out_.metadata.push_back({std::move(key), type, std::move(array)});
    return {};
  }
  TRY(GgufScalar value, read_scalar(type, key));
  out_.metadata.push_back({std::move(key), type, std::move(value)});
  return {};
}

Result<GgufScalar> Reader::read_scalar(GgufType type, const std::string& key) {
  using enum GgufType;
  switch (type) {
    case kUint8:
      return read_as<std::uint8_t, std::uint64_t>(key);
    case kUint16:
      return read_as<std::uint16_t, std::uint64_t>(key);
    case kUint32:
      return read_as<std::uint32_t, std::uint64_t>(key);
    case kUint64:
      return read_as<std::uint64_t, std::uint64_t>(key);
    case kInt8:
      return read_as<std::int8_t, std::int64_t>(key);
    case kInt16:
      return read_as<std::int16_t, std::int64_t>(key);
    case kInt32:
      return read_as<std::int32_t, std::int64_t>(key);
    case kInt64:
      return read_as<std::int64_t, std::int64_t>(key);
    case kFloat32:
      return read_as<float, double>(key);
    case kFloat64:
      return read_as<double, double>(key);
    case kString: {
      TRY(std::string text, read_string(key));
      return GgufScalar(std::move(text));
    }
    case kBool: {
      TRY(const std::uint8_t value, in_.number<std::uint8_t>(key));
      if (value > 1)
        return fail(Code::kCorrupt, "the GGUF metadata key {} is a boolean of value {}",
                    printable(key), value);
      return GgufScalar(value == 1);
    }
    case kArray:
      break;
  }
  return fail(Code::kCorrupt, "the GGUF metadata key {} is an array of arrays", printable(key));
}

Result<std::string> Reader::read_string(const std::string& key) {
  TRY(const std::uint64_t length, in_.number<std::uint64_t>(printable(key)));
  if (length > in_.remaining()) {
    return fail(Code::kCorrupt,
                "the GGUF metadata key {} declares a string of {} bytes where {} remain",
                printable(key), length, in_.remaining());
  }
  kept_bytes_ += length;
  if (length > kMaxStringBytes || kept_bytes_ > kMaxKeptBytes) {
    return fail(
        Code::kTooLarge,
        "the GGUF metadata key {} holds a string of {} bytes; at most {} are read, {} in all",
        printable(key), length, kMaxStringBytes, kMaxKeptBytes);
  }
  return in_.text(length, printable(key));
}

Result<GgufArray> Reader::read_array(const std::string& key) {
  TRY(const GgufType element, read_type(key));
  if (element == GgufType::kArray) {
    return fail(Code::kCorrupt, "the GGUF metadata key {} is an array of arrays", printable(key));
  }
  TRY(const std::uint64_t count, in_.number<std::uint64_t>("the length of an array"));
  if (count > in_.remaining() / kTypeBytes[static_cast<std::size_t>(element)]) {
    return fail(Code::kCorrupt,
                "the GGUF metadata key {} declares an array of {} elements where {} bytes remain",
                printable(key), count, in_.remaining());
  }
  GgufArray array{element, count, {}};
  if (count > kMaxArrayKept) {
    TRY_OK(skip_elements(array, key));
    return array;
  }
  // A byte on disk is a whole value in memory: thousands of small arrays must not add up.
  kept_bytes_ += count * sizeof(GgufScalar);
  if (kept_bytes_ > kMaxKeptBytes) {
    return fail(Code::kTooLarge,
                "the GGUF metadata takes more than {} bytes in memory, which is all that is kept",
                kMaxKeptBytes);
  }
  array.values.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY(GgufScalar value, read_scalar(element, key));
    array.values.push_back(std::move(value));
  }
  return array;
}

Status Reader::skip_elements(const GgufArray& array, const std::string& key) {
  if (array.element != GgufType::kString) {
    return in_.skip(array.count * kTypeBytes[static_cast<std::size_t>(array.element)],
                    printable(key));
  }
  return in_.skip_strings(array.count, key);
}

Status Reader::check_alignment() {
  const GgufEntry* entry = out_.find("general.alignment");
  if (entry == nullptr) return {};
  if (entry->type != GgufType::kUint32) {
    return fail(Code::kCorrupt,
                "general.alignment of the GGUF file is not an unsigned 32-bit number");
  }
  const std::uint64_t alignment = std::get<std::uint64_t>(std::get<GgufScalar>(entry->value));
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > kMaxAlignment) {
    return fail(Code::kCorrupt,
                "general.alignment of the GGUF file is {}, which is not a power of two up to {}",
                alignment, kMaxAlignment);
  }
  out_.alignment = alignment;
  return {};
}

Status Reader::check_split() {
  const std::uint64_t count = out_.number("split.count").value_or(1);
  const std::uint64_t number = out_.number("split.no").value_or(0);
  // llama.cpp writes count 0 into files that were merged again.
  if (count <= 1 && number == 0) return {};
  if (number < count && count <= kMaxSplits) return {};
  return fail(Code::kCorrupt, "the GGUF file says that it is part {} of {} (split.no, split.count)",
              number, count);
}

Status Reader::read_tensor() {
  GgufTensor tensor;
  TRY(const std::uint64_t length, in_.number<std::uint64_t>("the length of a tensor name"));
  if (length == 0 || length > kMaxNameBytes) {
    return fail(Code::kCorrupt, "a GGUF tensor name is {} bytes long; 1 to {} are allowed", length,
                kMaxNameBytes);
  }
  TRY(tensor.name, in_.text(length, "a tensor name"));
  if (!seen_tensors_.insert(tensor.name).second) {
    return fail(Code::kCorrupt, "the GGUF tensor {} comes twice", printable(tensor.name));
  }
  TRY_OK(read_dims(tensor));
  TRY(tensor.type, in_.number<std::uint32_t>("the type of a tensor"));
  TRY(tensor.offset, in_.number<std::uint64_t>("the offset of a tensor"));
  TRY_OK(measure(tensor));
  if (tensor.offset != next_offset_) {
    return fail(Code::kCorrupt,
                "the GGUF tensor {} begins at offset {} where {} is the next free one",
                printable(tensor.name), tensor.offset, next_offset_);
  }
  if (tensor.bytes > kMaxSigned - next_offset_ - out_.alignment) {
    return fail(Code::kCorrupt, "the GGUF tensors up to {} are bigger than any file",
                printable(tensor.name));
  }
  next_offset_ += padded(tensor.bytes, out_.alignment);
  out_.tensors.push_back(std::move(tensor));
  return {};
}

Status Reader::read_dims(GgufTensor& tensor) {
  TRY(const std::uint32_t count, in_.number<std::uint32_t>("the dimensions of a tensor"));
  if (count > kMaxDims) {
    return fail(Code::kCorrupt, "the GGUF tensor {} has {} dimensions; at most {} are allowed",
                printable(tensor.name), count, kMaxDims);
  }
  // The product of the others must not overflow because one of them is zero.
  unsigned __int128 product = 1;
  bool empty = false;
  for (std::uint32_t i = 0; i < count; ++i) {
    TRY(const std::int64_t dim, in_.number<std::int64_t>("the dimensions of a tensor"));
    if (dim < 0) {
      return fail(Code::kCorrupt, "the GGUF tensor {} has the dimension {}", printable(tensor.name),
                  dim);
    }
    empty = empty || dim == 0;
    product *= static_cast<std::uint64_t>(std::max<std::int64_t>(dim, 1));
    if (product > kMaxSigned) {
      return fail(Code::kCorrupt,
                  "the dimensions of the GGUF tensor {} multiply to more than 2^63 elements",
                  printable(tensor.name));
    }
    tensor.dims.push_back(static_cast<std::uint64_t>(dim));
  }
  tensor.elements = empty ? 0 : static_cast<std::uint64_t>(product);
  return {};
}

Status Reader::measure(GgufTensor& tensor) {
  const GgmlType* type = find_ggml_type(tensor.type);
  if (type == nullptr) {
    return fail(Code::kUnsupported, "the GGUF tensor {} has the type {}, which is not known",
                printable(tensor.name), tensor.type);
  }
  const std::uint64_t row = tensor.dims.empty() ? 1 : tensor.dims[0];
  if (row % type->block_elements != 0) {
    return fail(Code::kCorrupt,
                "the rows of the GGUF tensor {} have {} elements, which is no multiple of the {} "
                "that a block of {} holds",
                printable(tensor.name), row, type->block_elements, type->name);
  }
  const auto bytes =
      static_cast<unsigned __int128>(tensor.elements / type->block_elements) * type->block_bytes;
  if (bytes > kMaxSigned) {
    return fail(Code::kCorrupt, "the GGUF tensor {} is bigger than any file",
                printable(tensor.name));
  }
  tensor.bytes = static_cast<std::uint64_t>(bytes);
  return {};
}

Status Reader::check_data() {
  out_.data_offset = padded(in_.position(), out_.alignment);
  out_.data_bytes = next_offset_;
  if (out_.tensors.empty()) {
    // Nothing has to follow, not even the padding.
    out_.trailing_bytes = out_.file_size - std::min(out_.file_size, out_.data_offset);
    return {};
  }
  const GgufTensor& last = out_.tensors.back();
  if (last.offset + last.bytes > out_.file_size - std::min(out_.file_size, out_.data_offset)) {
    return fail(Code::kCorrupt,
                "the GGUF file is cut short: its tensors end at byte {} and the file at byte {}",
                out_.data_offset + last.offset + last.bytes, out_.file_size);
  }
  out_.trailing_bytes = out_.file_size - std::min(out_.file_size, out_.data_offset + next_offset_);
  return {};
}

const GgufScalar* scalar(const GgufEntry* entry) {
  return entry == nullptr ? nullptr : std::get_if<GgufScalar>(&entry->value);
}

std::optional<std::uint64_t> as_number(const GgufScalar& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return *number;
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number == nullptr || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

}  // namespace

const GgufEntry* Gguf::find(std::string_view key) const {
  for (const GgufEntry& entry : metadata) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

std::optional<std::string> Gguf::text(std::string_view key) const {
  const GgufScalar* value = scalar(find(key));
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

std::optional<std::uint64_t> Gguf::number(std::string_view key) const {
  const GgufScalar* value = scalar(find(key));
  return value == nullptr ? std::nullopt : as_number(*value);
}

std::optional<std::uint64_t> Gguf::largest(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr || entry->type != GgufType::kArray) return number(key);
  std::optional<std::uint64_t> most;
  for (const GgufScalar& value : std::get<GgufArray>(entry->value).values) {
    const auto number = as_number(value);
    if (number && (!most || *number > *most)) most = number;
  }
  return most;
}

Result<Gguf> read_gguf(const RandomAccess& source) { return Reader(source).read(); }

}  // namespace berth::formats
