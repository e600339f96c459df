// Numbers as people write them for models: "134.52M", "8.03 B", "7B". Pure. The way back of
// format_count.
#pragma once

#include <cmath>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace berth {

// nullopt for what is no count ("8x7B").
inline std::optional<double> parse_count(std::string_view text) {
  constexpr std::string_view kUnits = "kmbt";
  text = trim(text);
  double factor = 1;
  const std::size_t unit =
      text.empty() ? std::string_view::npos : kUnits.find(to_lower(text).back());
  if (unit != std::string_view::npos) {
    factor = std::pow(1000.0, static_cast<double>(unit) + 1);
    text = trim(text.substr(0, text.size() - 1));
  }
  const std::size_t point = text.find('.');
  const std::string_view digits =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  const auto whole = parse_u64(text.substr(0, point));
  const auto part = point == std::string_view::npos ? 0 : parse_u64(digits);
  if (!whole || !part) return std::nullopt;
  const double fraction =
      static_cast<double>(*part) / std::pow(10, static_cast<double>(digits.size()));
  return (static_cast<double>(*whole) + fraction) * factor;
}

}  // namespace berth
