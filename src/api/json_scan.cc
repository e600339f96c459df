#include "api/json_scan.h"

#include "base/text.h"
#include "json/json.h"

namespace berth::api {
namespace {

constexpr std::size_t kMaxDepth = 64;

std::unexpected<Error> malformed() {
  return fail(Code::kInvalid, "invalid request: the body is not a JSON object");
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // The next character that is no white space; 0 at the end.
  char peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  // A string with its quotes; empty when there is none or it has no end.
  std::string_view string() {
    if (peek() != '"') return {};
    const std::size_t start = at_++;
    while (true) {
      at_ = text_.find_first_of("\"\\", at_);
      if (at_ == std::string_view::npos) return {};
      if (text_[at_] == '"') return text_.substr(start, ++at_ - start);
      at_ += 2;
    }
  }

  // Passes over one value of any kind; false when the text ends in it or it is too deep.
  bool skip() {
    std::size_t depth = 0;
    do {
      const char c = peek();
      if (c == '"') {
        if (string().empty()) return false;
      } else if (c == '{' || c == '[') {
        ++at_;
        if (++depth > kMaxDepth) return false;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return false;
        ++at_;
        --depth;
      } else if (c == ',' || c == ':') {
        if (depth == 0) return false;
        ++at_;
      } else if (!skip_word()) {
        return false;
      }
    } while (depth > 0);
    return true;
  }

 private:
  bool skip_word() {
    const std::size_t start = at_;
    at_ = std::min(text_.find_first_of(" \n\r\t,:]}[{\"", at_), text_.size());
    return at_ > start;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Result<std::string> decode(std::string_view quoted) {
  TRY(const json::Value value, json::parse(quoted, "the body"));
  return json::View(value, "the body").string();
}

}  // namespace

Result<std::optional<std::string>> top_level_string(std::string_view text, std::string_view key) {
  Scanner scanner(text);
  if (!scanner.take('{')) return malformed();
  std::optional<std::string> found;
  if (scanner.take('}')) return found;
  do {
    const std::string_view word = scanner.string();
    if (word.empty() || !scanner.take(':')) return malformed();
    TRY(const std::string name, decode(word));
    if (name != key) {
      if (!scanner.skip()) return malformed();
      continue;
    }
    const std::string_view value = scanner.string();
    if (value.empty()) return fail(Code::kInvalid, "invalid request: \"{}\" must be a string", key);
    if (found) return fail(Code::kInvalid, "invalid request: \"{}\" is there twice", key);
    TRY(found, decode(value));
  } while (scanner.take(','));
  if (!scanner.take('}') || scanner.peek() != '\0') return malformed();
  return found;
}

std::string json_quoted(std::string_view text) { return json::serialize(json::Value(text)); }

void replace_model(std::string& text, std::string_view quoted_model) {
  constexpr std::string_view kKey = "\"model\":\"";
  const std::size_t at = text.find(kKey);
  if (at == std::string::npos) return;
  const std::size_t start = at + kKey.size() - 1;
  const std::string_view old = Scanner(std::string_view(text).substr(start)).string();
  if (!old.empty()) text.replace(start, old.size(), quoted_model);
}

std::optional<std::uint64_t> last_number(std::string_view text, std::string_view key) {
  const std::string needle = "\"" + std::string(key) + "\":";
  const std::size_t at = text.rfind(needle);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = trim(text.substr(at + needle.size(), 24));
  return parse_u64(rest.substr(0, rest.find_first_not_of("0123456789")));
}

}  // namespace berth::api
