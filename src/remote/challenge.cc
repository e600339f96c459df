#include "remote/challenge.h"

#include <optional>

#include "base/text.h"

namespace berth::remote {
namespace {

bool is_token_char(char c) {
  const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return alnum || std::string_view("!#$%&'*+-.^_`|~").contains(c);
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text.substr(0, kMaxChallengeBytes)) {}

  bool done() const { return rest_.empty(); }
  void skip_space() { skip_any(" \t"); }
  void skip_separators() { skip_any(" \t,"); }
  void drop_char() { rest_.remove_prefix(1); }

  std::string_view token() {
    std::size_t n = 0;
    while (n < rest_.size() && is_token_char(rest_[n])) ++n;
    return take(n);
  }

  // token BWS "=" BWS ( token / quoted-string ); nothing is consumed when it is not that.
  std::optional<std::pair<std::string, std::string>> param() {
    const std::string_view before = rest_;
    const std::string name = to_lower(token());
    skip_space();
    if (name.empty() || !rest_.starts_with('=')) return put_back(before);
    drop_char();
    skip_space();
    if (rest_.starts_with('"')) return std::pair(name, quoted());
    // "token68=" of another scheme looks like a parameter without a value.
    const std::string_view value = token();
    if (value.empty()) return put_back(before);
    return std::pair(name, std::string(value));
  }

  void skip_to_comma() { rest_.remove_prefix(std::min(rest_.find(','), rest_.size())); }

 private:
  void skip_any(std::string_view set) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(set), rest_.size()));
  }
  std::string_view take(std::size_t n) {
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }
  std::nullopt_t put_back(std::string_view before) {
    rest_ = before;
    return std::nullopt;
  }
  // An unterminated string ends with the field.
  std::string quoted() {
    drop_char();
    std::string value;
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) drop_char();
      value += rest_.front();
      drop_char();
    }
    if (!rest_.empty()) drop_char();
    return value;
  }

  std::string_view rest_;
};

void parse_params(Scanner& scanner, Challenge& challenge) {
  while (true) {
    scanner.skip_separators();
    auto param = scanner.param();
    if (!param) return;
    if (challenge.params.size() < kMaxChallengeParams) challenge.params.insert(std::move(*param));
  }
}

void parse_field(std::string_view field, std::vector<Challenge>& into) {
  Scanner scanner(field);
  while (into.size() < kMaxChallenges) {
    scanner.skip_separators();
    if (scanner.done()) return;
    Challenge challenge{.scheme = to_lower(scanner.token()), .params = {}};
    if (challenge.scheme.empty()) {
      scanner.skip_to_comma();
      continue;
    }
    parse_params(scanner, challenge);
    into.push_back(std::move(challenge));
  }
}

}  // namespace

std::string Challenge::param(const std::string& name) const {
  const auto found = params.find(name);
  return found == params.end() ? "" : found->second;
}

std::vector<Challenge> parse_challenges(const std::vector<std::string_view>& fields) {
  std::vector<Challenge> challenges;
  for (const std::string_view field : fields) parse_field(field, challenges);
  return challenges;
}

}  // namespace berth::remote
