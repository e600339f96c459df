#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace berth {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

struct Unit {
  std::string_view name;
  double factor;
};

// Longest names first, so that "ms" is not read as "m".
constexpr std::array<Unit, 7> kDurationUnits = {{{"ms", 1},
                                                 {"us", 0.001},
                                                 {"ns", 0.000001},
                                                 {"d", 86'400e3},
                                                 {"h", 3600e3},
                                                 {"m", 60e3},
                                                 {"s", 1e3}}};

constexpr std::array<Unit, 14> kSizeUnits = {{{"", 1},
                                              {"b", 1},
                                              {"k", 1e3},
                                              {"kb", 1e3},
                                              {"kib", 1024},
                                              {"m", 1e6},
                                              {"mb", 1e6},
                                              {"mib", 1048576.0},
                                              {"g", 1e9},
                                              {"gb", 1e9},
                                              {"gib", 1073741824.0},
                                              {"t", 1e12},
                                              {"tb", 1e12},
                                              {"tib", 1099511627776.0}}};

template <class T>
std::optional<T> parse_integer(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Reads a leading decimal number ("1.5") and removes it from `text`.
std::optional<double> take_number(std::string_view& text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take_duration_unit(std::string_view& text, double& factor) {
  for (const Unit& unit : kDurationUnits) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      factor = unit.factor;
      return true;
    }
  }
  return false;
}

std::string three_digits(double value) {
  if (value < 10) return fmt::format("{:.2f}", value);
  if (value < 100) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

std::string ago(std::int64_t count, std::string_view unit) {
  return fmt::format("{} {}{} ago", count, unit, count == 1 ? "" : "s");
}

}  // namespace

std::string hex_encode(Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(b) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(b) & 15]);
  }
  return text;
}

std::optional<std::vector<std::byte>> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return bytes;
}

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string base64_encode(Bytes bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < have ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text.push_back(k <= have ? kAlphabet[group >> (18 - 6 * k) & 63] : '=');
    }
  }
  return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
  for (int pad = 0; pad < 2 && text.ends_with('='); ++pad) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    group = group << 6 | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<char>(group >> bits & 255));
    }
  }
  return bytes;
}

std::optional<std::uint64_t> parse_u64(std::string_view text) {
  return parse_integer<std::uint64_t>(text);
}
std::optional<std::int64_t> parse_i64(std::string_view text) {
  return parse_integer<std::int64_t>(text);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  if (text == "-1") return std::chrono::milliseconds(-1);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const auto value = take_number(text);
    double factor = 0;
    if (!value || *value < 0 || !take_duration_unit(text, factor)) return std::nullopt;
    total += *value * factor;
  }
  if (total > 1e15) return std::nullopt;
  const auto count = static_cast<std::int64_t>(total);
  return std::chrono::milliseconds(negative ? -count : count);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (const auto plain = parse_u64(text)) return plain;
  const auto value = take_number(text);
  if (!value || *value < 0) return std::nullopt;
  const std::string name = to_lower(trim(text));
  for (const Unit& unit : kSizeUnits) {
    if (unit.name == name && *value * unit.factor < 9e18) {
      return static_cast<std::uint64_t>(*value * unit.factor);
    }
  }
  return std::nullopt;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), kUnits[unit]);
}

std::string format_duration(std::chrono::milliseconds duration) {
  const double seconds = static_cast<double>(duration.count()) / 1e3;
  if (seconds < 1) return fmt::format("{} ms", duration.count());
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole % 3600 / 60);
}

std::string format_count(double count) {
  if (count >= 1e12) return fmt::format("{:.2f}T", count / 1e12);
  if (count >= 1e9) return fmt::format("{:.2f}B", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.2f}M", count / 1e6);
  if (count >= 1e3) return fmt::format("{:.2f}K", count / 1e3);
  return fmt::format("{:.0f}", count);
}

std::string format_ago(std::chrono::sys_seconds then, std::chrono::sys_seconds now) {
  const std::int64_t seconds = (now - then).count();
  if (seconds < 5) return "Just now";
  if (seconds < 60) return ago(seconds, "second");
  if (seconds < 3600) return ago(seconds / 60, "minute");
  if (seconds < 86400 * 2) return ago(seconds / 3600, "hour");
  if (seconds < 86400 * 14) return ago(seconds / 86400, "day");
  if (seconds < 86400 * 60) return ago(seconds / (86400 * 7), "week");
  if (seconds < 86400LL * 365 * 2) return ago(seconds / (86400 * 30), "month");
  return ago(seconds / (86400LL * 365), "year");
}

std::string format_rfc3339(std::chrono::sys_seconds time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<std::chrono::sys_seconds> parse_rfc3339(std::string_view text) {
  const auto number = [&](std::size_t at, std::size_t width) -> std::optional<std::int64_t> {
    if (text.size() < at + width) return std::nullopt;
    const auto value = parse_u64(text.substr(at, width));
    if (!value) return std::nullopt;
    return static_cast<std::int64_t>(*value);
  };
  const auto year = number(0, 4), month = number(5, 2), day = number(8, 2);
  const auto hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!year || !month || !day || !hour || !minute || !second || text.size() < 20)
    return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
      text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  std::size_t at = 19;
  if (text[at] == '.') {
    ++at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  }
  std::int64_t offset = 0;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
    const auto oh = number(at + 1, 2), om = number(at + 4, 2);
    if (!oh || !om || text.size() != at + 6) return std::nullopt;
    offset = (text[at] == '+' ? 1 : -1) * (*oh * 3600 + *om * 60);
  } else if (text.size() != at + 1 || (text[at] != 'Z' && text[at] != 'z')) {
    return std::nullopt;
  }
  return std::chrono::sys_seconds(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second - offset);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool iequals(std::string_view a, std::string_view b) { return to_lower(a) == to_lower(b); }

std::string printable(std::string_view text, std::size_t limit) {
  std::string safe;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (safe.size() >= limit) return safe + "…";
    const auto c = static_cast<unsigned char>(text[i]);
    // C1 controls arrive in UTF-8 as C2 80..C2 9F.
    const bool c1 =
        c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c < 0x20 || c == 0x7F) {
      safe += fmt::format("\\x{:02x}", c);
    } else if (c1) {
      safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    } else {
      safe.push_back(text[i]);
    }
  }
  return safe;
}

}  // namespace berth
