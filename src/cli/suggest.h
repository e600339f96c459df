// The nearest known word to a mistyped one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

// Edits (insert, delete, replace, swap of neighbours) between two words.
std::size_t edit_distance(std::string_view a, std::string_view b);

// "" when nothing is near enough (a third of the word, at least one edit).
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace berth::cli
