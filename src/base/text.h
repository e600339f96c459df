// Small text conversions that the standard library lacks: hex, sizes, times, splitting. All total,
// none locale-bound.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
inline Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hex_encode(Bytes bytes);  // lower case
std::optional<std::vector<std::byte>> hex_decode(
    std::string_view text);  // either case; nullopt if malformed
bool is_lower_hex(std::string_view text);

std::string base64_encode(Bytes bytes);                           // RFC 4648 section 4, padded
std::optional<std::string> base64_decode(std::string_view text);  // padded or not; both alphabets

// Decimal unsigned with no sign, space or overflow.
std::optional<std::uint64_t> parse_u64(std::string_view text);
std::optional<std::int64_t> parse_i64(std::string_view text);
// "5m", "90s", "1h30m", "250ms", "0", "-1" (negative = for ever). Go's duration grammar as Docker
// uses it.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
// "10MB", "8GiB", "512k", plain bytes.
std::optional<std::uint64_t> parse_size(std::string_view text);

std::string format_size(std::uint64_t bytes);  // decimal units, three digits: "91.7 MB"
std::string format_duration(std::chrono::milliseconds duration);  // "850 ms", "12.3 s", "4m 10s"
std::string format_count(double count);                           // parameters: "134.52M", "8.03B"
// "3 minutes ago", "2 weeks ago"; "in the future" never: clamps to "Just now".
std::string format_ago(std::chrono::sys_seconds then, std::chrono::sys_seconds now);
std::string format_rfc3339(std::chrono::sys_seconds time);  // "1970-01-01T00:00:00Z"
std::optional<std::chrono::sys_seconds> parse_rfc3339(
    std::string_view text);  // fractions and offsets accepted

std::vector<std::string> split(std::string_view text, char separator);  // "a,,b" -> a, "", b
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);           // ASCII only
bool iequals(std::string_view a, std::string_view b);  // ASCII only

// Text from outside, safe for a terminal and a log line: control characters (C0, DEL, C1) become
// \xNN, at most `limit` bytes, with "…" when cut.
std::string printable(std::string_view text, std::size_t limit = 512);

}  // namespace berth
