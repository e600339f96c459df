#include "registryd/html.h"

#include <cstdint>

namespace berth::registryd {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Point {
  char32_t value = 0;
  std::size_t length = 0;  // 0: malformed
};

struct Form {
  unsigned char mask, lead;
  std::size_t length;
  char32_t least;  // shorter forms of it are refused
};
constexpr Form kForms[] = {
    {0x80, 0x00, 1, 0}, {0xE0, 0xC0, 2, 0x80}, {0xF0, 0xE0, 3, 0x800}, {0xF8, 0xF0, 4, 0x10000}};

Point read_form(std::string_view text, const Form& form) {
  if (text.size() < form.length) return {};
  char32_t value = static_cast<unsigned char>(text[0]) & static_cast<unsigned char>(~form.mask);
  for (std::size_t i = 1; i < form.length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80) return {};
    value = value << 6 | (byte & 0x3F);
  }
  const bool surrogate = value >= 0xD800 && value < 0xE000;
  if (value < form.least || value > 0x10FFFF || surrogate) return {};
  return {.value = value, .length = form.length};
}

// RFC 3629.
Point read_point(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  for (const Form& form : kForms)
    if ((first & form.mask) == form.lead) return read_form(text, form);
  return {};
}

bool is_shown(char32_t point) {
  if (point == '\n' || point == '\t') return true;
  const bool control = point < 0x20 || (point >= 0x7F && point < 0xA0);
  const bool turns = (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
  return !control && !turns;
}

std::string_view entity(char32_t point) {
  switch (point) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

}  // namespace

std::string escape(std::string_view text) {
  std::string safe;
  safe.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const Point point = read_point(text);
    const std::size_t length = point.length == 0 ? 1 : point.length;
    const std::string_view named = entity(point.value);
    if (point.length == 0 || !is_shown(point.value)) {
      safe += kReplacement;
    } else {
      safe += named.empty() ? text.substr(0, length) : named;
    }
    text.remove_prefix(length);
  }
  return safe;
}

}  // namespace berth::registryd
