#include "remote/field.h"

#include <algorithm>
#include <array>

namespace berth::remote {
namespace {

// "a-b" with a <= b.
std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_span(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = parse_u64(text.substr(0, dash));
  const auto last = parse_u64(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return std::pair(*first, *last);
}

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool has_rel_next(std::string_view params) {
  for (const std::string& param : split(params, ';')) {
    const std::string_view text = trim(param);
    if (iequals(text, "rel=next") || iequals(text, "rel=\"next\"")) return true;
  }
  return false;
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view field) {
  constexpr std::string_view kUnit = "bytes ";
  field = trim(field);
  if (field.size() < kUnit.size() || !iequals(field.substr(0, kUnit.size()), kUnit))
    return std::nullopt;
  field = trim(field.substr(kUnit.size()));
  const std::size_t slash = field.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto span = parse_span(field.substr(0, slash));
  if (!span) return std::nullopt;
  ContentRange range{.first = span->first, .last = span->second, .total = std::nullopt};
  const std::string_view total = field.substr(slash + 1);
  if (total == "*") return range;
  range.total = parse_u64(total);
  if (!range.total || *range.total <= range.last) return std::nullopt;
  return range;
}

std::optional<std::uint64_t> parse_upload_range(std::string_view field) {
  field = trim(field);
  if (field.starts_with("bytes=")) field.remove_prefix(6);
  const auto span = parse_span(field);
  if (!span || span->first != 0 || span->second == UINT64_MAX) return std::nullopt;
  return span->second + 1;
}

std::optional<std::string> parse_next_link(std::string_view field) {
  while (true) {
    const std::size_t open = field.find('<');
    if (open == std::string_view::npos) return std::nullopt;
    const std::size_t close = field.find('>', open);
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view target = field.substr(open + 1, close - open - 1);
    field = field.substr(close + 1);
    // Parameters reach to the next link's "<"; a comma before it is harmless in the comparison
    // below.
    std::string_view params = field.substr(0, field.find('<'));
    while (params.ends_with(',') || params.ends_with(' ')) params.remove_suffix(1);
    if (has_rel_next(params)) return std::string(target);
  }
}

std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text) {
  // Fixed width: "Sun, 06 Nov 1994 08:49:37 GMT".
  if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT")
    return std::nullopt;
  const auto month = std::ranges::find(kMonths, text.substr(8, 3));
  const auto day = parse_u64(text.substr(5, 2));
  const auto year = parse_u64(text.substr(12, 4));
  const auto hour = parse_u64(text.substr(17, 2));
  const auto minute = parse_u64(text.substr(20, 2));
  const auto second = parse_u64(text.substr(23, 2));
  if (month == kMonths.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year(static_cast<int>(*year)),
      std::chrono::month(static_cast<unsigned>(month - kMonths.begin() + 1)),
      std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

std::optional<std::chrono::seconds> retry_after(const http::Headers& headers,
                                                std::chrono::sys_seconds now) {
  const auto field = headers.get("Retry-After");
  if (!field) return std::nullopt;
  constexpr std::uint64_t kLongest = 365u * 24 * 3600;
  if (const auto seconds = parse_u64(trim(*field))) {
    return std::chrono::seconds(static_cast<std::int64_t>(std::min(*seconds, kLongest)));
  }
  const auto until = parse_http_date(trim(*field));
  if (!until) return std::nullopt;
  const auto sent = parse_http_date(trim(headers.get("Date").value_or("")));
  return std::max(std::chrono::seconds(0), *until - sent.value_or(now));
}

std::vector<std::string> warnings(const http::Headers& headers) {
  constexpr std::string_view kStart = "299 - \"";
  constexpr std::size_t kMost = 4096;
  std::vector<std::string> texts;
  std::size_t total = 0;
  for (std::string_view field : headers.get_all("Warning")) {
    if (!field.starts_with(kStart)) continue;
    field.remove_prefix(kStart.size());
    std::string text;
    for (std::size_t i = 0; i < field.size() && field[i] != '"'; ++i) {
      if (field[i] == '\\' && i + 1 < field.size()) ++i;
      text.push_back(field[i]);
    }
    total += text.size();
    if (total > kMost) break;
    if (!text.empty()) texts.push_back(printable(text));
  }
  return texts;
}

std::optional<oci::Digest> content_digest(const http::Headers& headers) {
  const auto field = headers.get("Docker-Content-Digest");
  if (!field) return std::nullopt;
  auto digest = oci::Digest::parse(trim(*field));
  return digest ? std::optional(std::move(*digest)) : std::nullopt;
}

std::optional<std::uint64_t> content_length(const http::Headers& headers) {
  const auto field = headers.get("Content-Length");
  return field ? parse_u64(trim(*field)) : std::nullopt;
}

std::string media_type(const http::Headers& headers) {
  const std::string_view field = headers.get("Content-Type").value_or("");
  return to_lower(trim(field.substr(0, field.find(';'))));
}

}  // namespace berth::remote
