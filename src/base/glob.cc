#include "base/glob.h"

#include <algorithm>
#include <bit>

#include "base/text.h"

namespace berth {
namespace {

// Characters of UTF-8. A byte that belongs to none is one of its own, above all others.
std::u32string characters(std::string_view text) {
  constexpr char32_t kNoCharacter = 0x110000;
  std::u32string result;
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const auto length = static_cast<std::size_t>(std::countl_one(lead));
    char32_t character = lead;
    std::size_t taken = 1;
    if (length >= 2 && length <= 4) {
      character = lead & (0x7FU >> length);
      while (taken < length && at + taken < text.size() && (text[at + taken] & 0xC0) == 0x80)
        character = character << 6U | (text[at + taken++] & 0x3FU);
    }
    const bool whole = length == 0 || (length >= 2 && length <= 4 && taken == length);
    result.push_back(whole ? character : kNoCharacter + lead);
    at += whole ? taken : 1;
  }
  return result;
}

}  // namespace

bool Glob::Token::takes(char32_t character) const {
  if (kind == Kind::kDeepStar || kind == Kind::kFolders) return true;
  if (kind == Kind::kStar) return character != '/';
  const bool found = std::ranges::any_of(set, [character](const Range& range) {
    return character >= range.first && character <= range.last;
  });
  if (!negated) return found;
  return !found && character != '/';
}

Result<Glob::Token> Glob::read_set(const std::u32string& pattern, std::size_t& at) {
  Token token;
  ++at;
  if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) {
    token.negated = true;
    ++at;
  }
  // A ] that comes first is one of the set.
  for (bool first = true; at < pattern.size() && (first || pattern[at] != ']'); first = false) {
    Range range{pattern[at], pattern[at]};
    ++at;
    if (at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']') {
      range.last = pattern[at + 1];
      at += 2;
    }
    token.set.push_back(range);
  }
  if (at == pattern.size()) return fail(Code::kInvalid, "a [ in it has no ]");
  ++at;
  return token;
}

Result<Glob::Token> Glob::read(const std::u32string& pattern, std::size_t& at) {
  const char32_t character = pattern[at];
  if (character == '[') return read_set(pattern, at);
  if (character != '*' && character != '?') {
    ++at;
    return Token{.set = {{character, character}}};
  }
  if (character == '?') {
    ++at;
    return Token{.negated = true};
  }
  const std::size_t start = at;
  while (at < pattern.size() && pattern[at] == '*') ++at;
  if (at - start == 1) return Token{.kind = Token::Kind::kStar};
  const bool folders =
      at < pattern.size() && pattern[at] == '/' && (start == 0 || pattern[start - 1] == '/');
  if (!folders) return Token{.kind = Token::Kind::kDeepStar};
  ++at;
  return Token{.kind = Token::Kind::kFolders};
}

Result<Glob> Glob::parse(std::string_view pattern) {
  const auto wrong = [pattern](std::string_view why) {
    return fail(Code::kInvalid, "\"{}\" is no pattern for files, as in *.json or tokenizer/**: {}",
                printable(pattern, 60), why);
  };
  if (pattern.empty()) return wrong("it is empty");
  if (pattern.size() > kMaxBytes) return wrong(fmt::format("it has over {} bytes", kMaxBytes));
  Glob glob;
  glob.text_ = pattern;
  const std::u32string text = characters(pattern);
  for (std::size_t at = 0; at < text.size();) {
    auto token = read(text, at);
    if (!token) return wrong(token.error().message());
    glob.tokens_.push_back(std::move(*token));
  }
  return glob;
}

bool Glob::matches(std::string_view path) const {
  if (matches_whole(path)) return true;
  const std::size_t slash = path.rfind('/');
  return slash != std::string_view::npos && text_.find('/') == std::string::npos &&
         matches_whole(path.substr(slash + 1));
}

// All ways through the pattern at once: states[i] says that what was read so far may end before
// token i.
bool Glob::matches_whole(std::string_view path) const {
  std::vector<bool> states(tokens_.size() + 1);
  states[0] = true;
  skip_empty(states, '/');
  for (const char32_t character : characters(path)) {
    std::vector<bool> next(states.size());
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (states[i] && tokens_[i].takes(character)) next[tokens_[i].repeats() ? i : i + 1] = true;
    }
    skip_empty(next, character);
    states = std::move(next);
  }
  return states.back();
}

void Glob::skip_empty(std::vector<bool>& states, char32_t before) const {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const bool ends = tokens_[i].kind == Token::Kind::kFolders ? before == '/' : true;
    if (states[i] && tokens_[i].repeats() && ends) states[i + 1] = true;
  }
}

}  // namespace berth
