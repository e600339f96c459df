// Tables as Docker Model Runner prints them: no borders, left-aligned, two spaces between columns,
// upper-case headers. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> headers) : rows_{std::move(headers)} {}
  // Cells are made printable here.
  void row(std::vector<std::string> cells);
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Columns that a text takes on a terminal: one for each UTF-8 character.
std::size_t columns(std::string_view text);

}  // namespace berth::cli
