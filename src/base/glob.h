// Patterns for the paths of files, as shells know them.
//
// `*` is any text without a slash, `?` one character but a slash, `[a-z]` one of a set and `[!a-z]`
// one that is not in it; `**` is any text with slashes, and `**/` any number of whole folders, also
// none. All else stands for itself. Pure, thread-safe; the work is bounded by the length of the
// pattern times that of the path. Failure: kInvalid.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth {

class Glob {
 public:
  static constexpr std::size_t kMaxBytes = 256;
  static Result<Glob> parse(std::string_view pattern);

  // The whole path; for a pattern without a slash its last component is enough.
  bool matches(std::string_view path) const;
  // The whole path, whatever the pattern.
  bool matches_whole(std::string_view path) const;
  const std::string& text() const { return text_; }

 private:
  struct Range {
    char32_t first;
    char32_t last;
  };
  struct Token {
    enum class Kind { kSet, kStar, kDeepStar, kFolders } kind = Kind::kSet;
    std::vector<Range> set = {};
    bool negated = false;

    bool takes(char32_t character) const;
    bool repeats() const { return kind != Kind::kSet; }
  };

  // Reads one token at `at` of the characters and moves behind it.
  static Result<Token> read(const std::u32string& pattern, std::size_t& at);
  static Result<Token> read_set(const std::u32string& pattern, std::size_t& at);
  // Goes past what may stand for nothing at this place.
  void skip_empty(std::vector<bool>& states, char32_t before) const;

  std::string text_;
  std::vector<Token> tokens_;
};

}  // namespace berth
