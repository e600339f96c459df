#include "registryd/range.h"

#include <algorithm>

#include "base/text.h"

namespace berth::registryd {

RangeAnswer parse_range(std::string_view header, std::uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  constexpr RangeAnswer kUnsatisfiable{.kind = RangeAnswer::Kind::kUnsatisfiable};
  if (!header.starts_with(kUnit)) return {};
  header = trim(header.substr(kUnit.size()));
  const std::size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return {};
  const std::string_view first_text = header.substr(0, dash);
  const std::string_view last_text = header.substr(dash + 1);
  const auto first = parse_u64(first_text);
  const auto last = parse_u64(last_text);
  if (first_text.empty()) {  // the last so many
    if (!last) return {};
    if (*last == 0 || size == 0) return kUnsatisfiable;
    return {.kind = RangeAnswer::Kind::kPart, .span = {size - std::min(*last, size), size}};
  }
  if (!first || (!last && !last_text.empty())) return {};
  if (*first >= size || (last && *last < *first)) return kUnsatisfiable;
  const std::uint64_t end = last ? std::min(*last, size - 1) + 1 : size;
  return {.kind = RangeAnswer::Kind::kPart, .span = {*first, end}};
}

std::optional<ByteSpan> parse_chunk_range(std::string_view header) {
  if (header.starts_with("bytes ")) header.remove_prefix(6);
  header = header.substr(0, header.find('/'));
  const std::size_t dash = header.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = parse_u64(header.substr(0, dash));
  const auto last = parse_u64(header.substr(dash + 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  return ByteSpan{.begin = *first, .end = *last + 1};
}

}  // namespace berth::registryd
