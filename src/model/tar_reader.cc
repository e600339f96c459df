#include "model/tar_reader.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/text.h"

namespace berth::model {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxExtension = 1024 * 1024;
constexpr std::size_t kMaxEntries = 50'000;
constexpr std::uint64_t kMaxSize = 1ULL << 60;

// The fields of a ustar header.
struct Field {
  std::size_t offset;
  std::size_t length;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kType = 156;
constexpr Field kMagic{257, 8};
constexpr Field kPrefix{345, 155};

std::string_view field(std::string_view block, Field field) {
  return block.substr(field.offset, field.length);
}

std::string text_of(std::string_view block, Field place) {
  const std::string_view whole = field(block, place);
  return std::string(whole.substr(0, whole.find('\0')));
}

std::optional<std::uint64_t> octal(std::string_view text) {
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (const char c : text) {
    if (c == ' ' && digits == 0) continue;
    if (c == ' ' || c == '\0') break;
    if (c < '0' || c > '7' || digits > 20) return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
    ++digits;
  }
  return value;
}

// Octal, or GNU's base 256 when the first bit is set.
std::optional<std::uint64_t> number(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if ((first & 0x80) == 0) return octal(text);
  if (first != 0x80) return std::nullopt;  // negative, or far too big
  std::uint64_t value = 0;
  for (const char c : text.substr(1)) {
    if (value >> 56 != 0) return std::nullopt;
    value = value << 8 | static_cast<unsigned char>(c);
  }
  return value;
}

std::uint64_t checksum(std::string_view block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    sum += own ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

std::string name_of(std::string_view block) {
  const std::string name = text_of(block, kName);
  const bool posix = field(block, kMagic).starts_with(std::string_view("ustar\0", 6));
  const std::string prefix = posix ? text_of(block, kPrefix) : "";
  return prefix.empty() ? name : prefix + "/" + name;
}

// "27 path=blobs/sha256/…\n" records; only path and size matter.
Status read_pax(std::string_view text, std::optional<std::string>& name,
                std::optional<std::uint64_t>& size) {
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const auto length =
        space == std::string_view::npos ? std::nullopt : parse_u64(text.substr(0, space));
    if (!length || *length <= space + 1 || *length > text.size() || text[*length - 1] != '\n') {
      return fail(Code::kCorrupt, "the archive has a damaged pax header");
    }
    const std::string_view record = text.substr(space + 1, *length - space - 2);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) {
      return fail(Code::kCorrupt, "the archive has a damaged pax header");
    }
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key == "path") name = std::string(value);
    if (key.starts_with("GNU.sparse"))
      return fail(Code::kUnsupported, "the archive has sparse entries, which are not read");
    if (key == "size") {
      size = parse_u64(value);
      if (!size) return fail(Code::kCorrupt, "the archive has a damaged pax header");
    }
    text.remove_prefix(*length);
  }
  return {};
}

void put(std::string& block, Field place, std::string_view value) {
  block.replace(place.offset, std::min(value.size(), place.length), value.substr(0, place.length));
}

std::string ustar_block(std::string_view name, std::uint64_t size, char type) {
  constexpr std::uint64_t kOctalLimit = 1ULL << 33;  // eleven digits
  std::string block(kBlock, '\0');
  put(block, kName, name);
  put(block, kMode, type == '5' ? "0000755" : "0000644");
  put(block, kUid, "0000000");
  put(block, kGid, "0000000");
  put(block, kSize, fmt::format("{:011o}", size < kOctalLimit ? size : 0));
  put(block, kTime, "00000000000");
  block[kType] = type;
  put(block, kMagic, std::string_view("ustar\00000", 8));
  put(block, kChecksum, fmt::format("{:06o}", checksum(block)) + std::string("\0 ", 2));
  return block;
}

// The length in front of a record counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (fmt::format("{}", length).size() + rest != length) ++length;
  return fmt::format("{} {}={}\n", length, key, value);
}

}  // namespace

std::uint64_t tar_padding(std::uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

std::string tar_header(std::string_view name, std::optional<std::uint64_t> size) {
  const char type = size ? '0' : '5';
  const std::uint64_t bytes = size.value_or(0);
  std::string records;
  if (name.size() > kName.length) records += pax_record("path", name);
  if (bytes >= 1ULL << 33) records += pax_record("size", fmt::format("{}", bytes));
  std::string out;
  if (!records.empty()) {
    out = ustar_block("PaxHeader", records.size(), 'x') + records +
          std::string(tar_padding(records.size()), '\0');
  }
  return out + ustar_block(name, bytes, type);
}

// False at a clean end: no byte more, or a block of zeros.
rt::Task<Result<bool>> TarReader::read_block(rt::Op& op, Block& block) {
  std::size_t have = 0;
  while (have < block.size()) {
    CO_TRY(const std::size_t count,
           co_await in_.read(op, std::as_writable_bytes(std::span(block)).subspan(have)));
    if (count == 0) break;
    have += count;
  }
  if (have == 0) co_return false;
  if (have < block.size())
    co_return fail(Code::kCorrupt, "the archive ends in the middle of a header");
  co_return !std::ranges::all_of(block, [](char c) { return c == '\0'; });
}

rt::Task<Status> TarReader::skip_entry(rt::Op& op) {
  std::array<std::byte, 16 * 1024> waste;
  std::uint64_t left = left_ + padding_;
  left_ = padding_ = 0;
  while (left > 0) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(left, waste.size()));
    CO_TRY(const std::size_t count, co_await in_.read(op, MutableBytes(waste).first(want)));
    if (count == 0) co_return fail(Code::kCorrupt, "the archive ends in the middle of an entry");
    left -= count;
  }
  co_return Status();
}

rt::Task<Status> TarReader::take_extension(rt::Op& op, char type) {
  CO_TRY(const std::string text, co_await read_all(op, kMaxExtension));
  if (type == 'x') co_return read_pax(text, next_name_, next_size_);
  if (type == 'L') next_name_ = text.substr(0, text.find('\0'));
  co_return Status();
}

rt::Task<Result<std::optional<TarEntry>>> TarReader::next(rt::Op& op) {
  next_name_.reset();
  next_size_.reset();
  Block block;
  for (;;) {
    CO_TRY_OK(co_await skip_entry(op));
    CO_TRY(const bool more, co_await read_block(op, block));
    if (!more) co_return std::nullopt;
    if (++entries_ > kMaxEntries)
      co_return fail(Code::kTooLarge, "the archive has more than {} entries", kMaxEntries);
    const std::string_view header(block.data(), block.size());
    const auto size = number(field(header, kSize));
    if (octal(field(header, kChecksum)) != checksum(header) || !size || *size > kMaxSize) {
      co_return fail(
          Code::kCorrupt, "{}",
          entries_ == 1 ? "this is not a tar archive" : "the archive has a damaged header");
    }
    const char type = header[kType];
    left_ = *size;
    padding_ = tar_padding(left_);
    if (type == 'x' || type == 'L' || type == 'K' || type == 'g') {
      CO_TRY_OK(co_await take_extension(op, type));
      continue;
    }
    if (type == 'S')
      co_return fail(Code::kUnsupported, "the archive has sparse entries, which are not read");
    const bool regular = type == '0' || type == '\0' || type == '7';
    left_ = regular ? next_size_.value_or(*size)
                    : 0;  // links and folders have no bytes, whatever their size says
    if (left_ > kMaxSize) co_return fail(Code::kCorrupt, "the archive has a damaged header");
    padding_ = tar_padding(left_);
    co_return TarEntry{next_name_.value_or(name_of(header)), left_, regular};
  }
}

rt::Task<Result<std::size_t>> TarReader::read(rt::Op& op, MutableBytes into) {
  const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_));
  if (want == 0) co_return std::size_t{0};
  CO_TRY(const std::size_t count, co_await in_.read(op, into.first(want)));
  if (count == 0) co_return fail(Code::kCorrupt, "the archive ends in the middle of an entry");
  left_ -= count;
  co_return count;
}

rt::Task<Result<std::string>> TarReader::read_all(rt::Op& op, std::size_t limit) {
  if (left_ > limit)
    co_return fail(Code::kTooLarge, "an entry of the archive has {} bytes; at most {} are read",
                   left_, limit);
  std::string text(left_, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    CO_TRY(const std::size_t count,
           co_await read(op, std::as_writable_bytes(std::span(text)).subspan(have)));
    have += count;
  }
  co_return text;
}

}  // namespace berth::model
