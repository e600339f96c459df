#include "config/values.h"

#include <algorithm>

#include "base/text.h"

namespace berth::config {
namespace {

bool is_header_name(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [&](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || kMarks.contains(c);
  });
}

}  // namespace

Result<std::string> one(const Written& written) {
  if (written.is_list || written.items.size() != 1)
    return fail(Code::kInvalid, "expected one value, not a list");
  return written.items.front();
}

std::string joined(const std::vector<std::string>& items) {
  return fmt::format("{}", fmt::join(items, ","));
}

Result<Headers> header_lines(const Written& written) {
  Headers headers;
  for (const std::string& line : written.items) {
    const std::size_t colon = line.find(':');
    const std::string name(trim(std::string_view(line).substr(0, colon)));
    const bool clean =
        std::ranges::none_of(line, [](char c) { return static_cast<unsigned char>(c) < ' '; });
    if (colon == std::string::npos || !is_header_name(name) || !clean)
      return fail(Code::kInvalid, "expected header fields as in \"X-Name: value\"");
    headers.emplace_back(name, Secret(std::string(trim(std::string_view(line).substr(colon + 1)))));
  }
  return headers;
}

std::string names_of(const Headers& headers) {
  std::vector<std::string> names;
  for (const auto& [name, value] : headers) names.push_back(name + ": (set)");
  return joined(names);
}

}  // namespace berth::config
