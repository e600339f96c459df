#include "engine/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "engine/flag_table.h"

namespace berth::engine {
namespace {

constexpr std::size_t kMaxFlags = 256;
constexpr std::size_t kMaxFlagBytes = 512;
constexpr std::string_view kModes[] = {"completion", "embedding", "reranking"};

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};

const Flag* find_flag(std::string_view name) {
  for (const Flag& flag : flag_table()) {
    if (names_hold(flag.names, name)) return &flag;
    const auto* field = std::get_if<SwitchField>(&flag.field);
    if (field && names_hold(field->off_names, name)) return &flag;
  }
  return nullptr;
}

std::unexpected<Error> unknown(std::string_view name) {
  std::string known;
  for (const std::string_view each : known_flags()) known += fmt::format(" {}", each);
  return fail(Code::kInvalid, "unknown runtime flag {}: known are{}", printable(name, 64), known);
}

std::unexpected<Error> wrong(std::string_view name, std::string_view value,
                             std::string_view right) {
  return fail(Code::kInvalid, "runtime flag {} cannot be {}: it takes {}", printable(name, 64),
              value.empty() ? "empty" : "\"" + printable(value, 64) + "\"", right);
}

std::optional<double> parse_real(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// One flag as it was written: "--name=value", or a name and maybe the next word.
class Words {
 public:
  explicit Words(std::span<const std::string> words) : words_(words) {}

  bool done() const { return at_ == words_.size(); }
  // Moves to the next flag.
  void advance() {
    const std::string_view word = words_[at_++];
    const std::size_t equals = word.find('=');
    name_ = word.substr(0, equals);
    inline_ =
        equals == std::string_view::npos ? std::nullopt : std::optional(word.substr(equals + 1));
  }
  std::string_view name() const { return name_; }
  bool has_inline() const { return inline_.has_value(); }

  Result<std::string_view> value(std::string_view right) {
    if (inline_) return *inline_;
    if (done()) return fail(Code::kInvalid, "runtime flag {} needs a value: {}", name_, right);
    return std::string_view(words_[at_++]);
  }
  // A value that may be left out: the next word counts only when it is no flag.
  Result<std::string_view> value_or(std::string_view bare, std::string_view right) {
    if (!inline_ && (done() || words_[at_].starts_with('-'))) return bare;
    return value(right);
  }

 private:
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  std::string_view name_;
  std::optional<std::string_view> inline_;
};

Status take(const IntegerField& field, Words& words, EngineOptions& options) {
  const std::string right = fmt::format("a whole number from {} to {}", field.least, field.most);
  TRY(const std::string_view text, words.value(right));
  const auto value = parse_i64(text);
  if (!value || *value < field.least || *value > field.most)
    return wrong(words.name(), text, right);
  options.*field.member = *value;
  return {};
}

Status take(const RealField& field, Words& words, EngineOptions& options) {
  const std::string right = fmt::format("a number from {} to {}", field.least, field.most);
  TRY(const std::string_view text, words.value(right));
  const auto value = parse_real(text);
  if (!value || *value < field.least || *value > field.most)
    return wrong(words.name(), text, right);
  options.*field.member = *value;
  return {};
}

Status take(const SwitchField& field, Words& words, EngineOptions& options) {
  if (words.has_inline()) {
    return fail(Code::kInvalid, "runtime flag {} takes no value", words.name());
  }
  options.*field.member = !names_hold(field.off_names, words.name());
  return {};
}

Status take(const WordField& field, Words& words, EngineOptions& options) {
  TRY(const std::string_view text, field.bare.empty() ? words.value(field.expected)
                                                      : words.value_or(field.bare, field.expected));
  if (!field.accepts(text)) return wrong(words.name(), text, field.expected);
  options.*field.member = std::string(text);
  return {};
}

Status take(const FixedWord& field, Words& words, EngineOptions& options) {
  if (words.has_inline()) {
    return fail(Code::kInvalid, "runtime flag {} takes no value", words.name());
  }
  options.*field.member = std::string(field.value);
  return {};
}
Status take(const FixedInteger& field, Words& words, EngineOptions& options) {
  if (words.has_inline()) {
    return fail(Code::kInvalid, "runtime flag {} takes no value", words.name());
  }
  options.*field.member = field.value;
  return {};
}

void emit(const Flag& flag, const EngineOptions& options, std::vector<std::string>& out) {
  const auto put = [&](const auto& member) {
    if (!member) return;
    out.emplace_back(flag.name());
    out.push_back(fmt::format("{}", *member));
  };
  std::visit(Match{
                 [&](const IntegerField& field) { put(options.*field.member); },
                 [&](const RealField& field) { put(options.*field.member); },
                 [&](const WordField& field) { put(options.*field.member); },
                 [&](const SwitchField& field) {
                   const auto& value = options.*field.member;
                   if (value && *value) out.emplace_back(flag.name());
                   if (value && !*value && !field.off_names.empty()) {
                     out.emplace_back(field.off_names.substr(0, field.off_names.find(' ')));
                   }
                 },
                 [](const FixedWord&) {},
                 [](const FixedInteger&) {},
             },
             flag.field);
}

// FNV-1a: a name for a set of options, not a defence against anyone.
std::uint64_t mix(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return (hash ^ 0x1f) * 1099511628211ULL;
}

}  // namespace

std::string_view to_string(Mode mode) { return kModes[static_cast<int>(mode)]; }

std::optional<Mode> mode_from_string(std::string_view name) {
  for (const Mode mode : {Mode::kCompletion, Mode::kEmbedding, Mode::kReranking}) {
    if (to_string(mode) == name) return mode;
  }
  return std::nullopt;
}

Result<EngineOptions> parse_runtime_flags(std::span<const std::string> flags, EngineOptions into) {
  if (flags.size() > kMaxFlags) {
    return fail(Code::kTooLarge, "{} runtime flags are too many: at most {}", flags.size(),
                kMaxFlags);
  }
  for (const std::string& word : flags) {
    if (word.size() > kMaxFlagBytes) {
      return fail(Code::kTooLarge, "a runtime flag is longer than {} bytes: {}", kMaxFlagBytes,
                  printable(word, 64));
    }
  }
  Words words(flags);
  while (!words.done()) {
    words.advance();
    const Flag* flag = find_flag(words.name());
    if (!flag) return unknown(words.name());
    TRY_OK(std::visit([&](const auto& field) { return take(field, words, into); }, flag->field));
  }
  return into;
}

Result<std::vector<std::string>> split_runtime_flags(std::string_view raw) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (const char c : raw) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return fail(Code::kInvalid, "the runtime flags end inside a quote ({})", quote);
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> to_flags(const EngineOptions& options) {
  std::vector<std::string> flags;
  for (const Flag& flag : flag_table()) emit(flag, options, flags);
  return flags;
}

EngineOptions merge(EngineOptions base, const EngineOptions& over) {
  for (const Flag& flag : flag_table()) {
    std::visit(
        [&](const auto& field) {
          if (over.*field.member) base.*field.member = over.*field.member;
        },
        flag.field);
  }
  base.mode = over.mode;
  return base;
}

std::vector<std::string_view> known_flags() {
  std::vector<std::string_view> names;
  for (const Flag& flag : flag_table()) names.push_back(flag.name());
  std::ranges::sort(names);
  return names;
}

std::string fingerprint(const EngineOptions& options) {
  std::uint64_t hash = mix(14695981039346656037ULL, to_string(options.mode));
  for (const std::string& flag : to_flags(options)) hash = mix(hash, flag);
  return fmt::format("{:016x}", hash);
}

std::uint64_t choose_context(const ContextChoice& choice) {
  const auto trained = choice.trained.value_or(0);
  for (const auto& wish : {choice.asked, choice.packaged, choice.configured}) {
    if (wish && *wish > 0) return std::min(*wish, kMaxContext);
  }
  // Zero is llama.cpp's word for "all that the model was trained with".
  if (choice.asked && trained > 0) return std::min(trained, kMaxContext);
  return trained > 0 ? std::min(trained, kDefaultContext) : kDefaultContext;
}

}  // namespace berth::engine
