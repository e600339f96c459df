// The words of a rule that somebody wrote: what lies between spaces. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth {

std::vector<std::string> words_of(std::string_view text);

}  // namespace berth
