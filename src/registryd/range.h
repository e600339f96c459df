// The two range headers of the distribution API. Pure. Sources: RFC 9110 section 14,
// distribution-spec (Content-Range of a chunk is "a-b", without a unit).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::registryd {

struct ByteSpan {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // behind the last byte
  friend bool operator==(const ByteSpan&, const ByteSpan&) = default;
};

struct RangeAnswer {
  enum class Kind { kWhole, kPart, kUnsatisfiable } kind = Kind::kWhole;
  ByteSpan span = {};
};
// What a Range header asks of `size` bytes. Other units, several ranges and nonsense: the whole.
RangeAnswer parse_range(std::string_view header, std::uint64_t size);

// "0-99", also "bytes 0-99/*" as some clients write it; nullopt when it is neither.
std::optional<ByteSpan> parse_chunk_range(std::string_view header);

}  // namespace berth::registryd
