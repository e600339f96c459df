#include "base/words.h"

#include "base/text.h"

namespace berth {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words = split(text, ' ');
  std::erase(words, "");
  return words;
}

}  // namespace berth
