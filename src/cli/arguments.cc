// Reading flags and arguments. The only file that includes CLI11.
#include "cli/arguments.h"

#include <algorithm>
#include <charconv>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "base/text.h"
#include "cli/suggest.h"

namespace berth::cli {
namespace {

std::string flag_text(const Flag& flag) { return "--" + std::string(flag.name); }

template <class T>
Parsed<bool> store(const std::optional<T>& value, std::optional<T>& target, const Flag& flag,
                   const std::string& text, std::string_view expected) {
  if (!value) {
    return std::unexpected(Mistake{
        fmt::format("{} takes {}, not \"{}\"", flag_text(flag), expected, printable(text, 64)),
        ""});
  }
  target = value;
  return true;
}

std::optional<bool> parse_bool(const std::string& text) {
  const std::string lower = to_lower(text);
  for (const char* yes : {"true", "1", "yes", "t"}) {
    if (lower == yes) return true;
  }
  for (const char* no : {"false", "0", "no", "f"}) {
    if (lower == no) return false;
  }
  return std::nullopt;
}

std::optional<double> parse_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// One overload a target type: what the text must be.
struct Store {
  const Flag& flag;
  const std::string& text;

  Parsed<bool> operator()(bool* target) const {
    std::optional<bool> value;
    const auto stored = store(parse_bool(text), value, flag, text, "true or false");
    if (stored) *target = *value;
    return stored;
  }
  Parsed<bool> operator()(std::optional<bool>* target) const {
    return store(parse_bool(text), *target, flag, text, "true or false");
  }
  Parsed<bool> operator()(std::string* target) const {
    *target = text;
    return true;
  }
  Parsed<bool> operator()(std::vector<std::string>* target) const {
    target->push_back(text);
    return true;
  }
  Parsed<bool> operator()(std::optional<std::int64_t>* target) const {
    return store(parse_i64(text), *target, flag, text, "a whole number");
  }
  Parsed<bool> operator()(std::optional<std::uint64_t>* target) const {
    return store(parse_u64(text), *target, flag, text, "a whole number of at least 0");
  }
  Parsed<bool> operator()(std::optional<double>* target) const {
    return store(parse_number(text), *target, flag, text, "a number");
  }
  Parsed<bool> operator()(std::optional<std::chrono::milliseconds>* target) const {
    return store(parse_duration(text), *target, flag, text, "a duration such as 5m, 90s, 0 or -1");
  }
};

Parsed<bool> store_value(const Flag& flag, const std::string& text) {
  if (!flag.choices.empty() && std::ranges::find(flag.choices, text) == flag.choices.end()) {
    return std::unexpected(Mistake{fmt::format("{} takes one of {}, not \"{}\"", flag_text(flag),
                                               fmt::join(flag.choices, ", "), printable(text, 64)),
                                   ""});
  }
  return std::visit(Store{flag, text}, flag.target);
}

CLI::Option* declare(CLI::App& app, const Flag& flag) {
  const std::string names =
      flag.letter != 0 ? fmt::format("-{},--{}", flag.letter, flag.name) : flag_text(flag);
  if (flag.value.empty()) return app.add_flag(names);
  return app.add_option(names)->expected(1)->allow_extra_args(false)->multi_option_policy(
      CLI::MultiOptionPolicy::TakeAll);
}

Mistake unknown_flag(const std::string& word, const std::vector<const Flag*>& flags,
                     const Selection& selection, const std::string& program) {
  std::vector<std::string> known;
  for (const Flag* flag : flags) {
    if (!flag->hidden) known.push_back(flag_text(*flag));
  }
  const std::string name = word.substr(0, word.find('='));
  const std::string near = nearest(name, known);
  const std::string where = selection.path.empty() ? program : program + " " + selection.path;
  return {
      fmt::format("unknown flag {} for {}", printable(name, 64), where),
      near.empty() ? fmt::format("see its flags with: {} --help", where) : "did you mean: " + near};
}

std::string_view count_words(Argument::Count count) {
  switch (count) {
    case Argument::Count::kOne:
      return "exactly one";
    case Argument::Count::kSome:
      return "at least one";
    case Argument::Count::kOptional:
      return "at most one";
    case Argument::Count::kAny:
      return "any number of";
  }
  return "";
}

// Gives the words to the arguments, first to last; a list takes all that are left.
Parsed<bool> assign(const Selection& selection, std::vector<std::string> words,
                    const std::string& program) {
  std::size_t at = 0;
  const std::string where = program + " " + selection.path;
  const std::string& path = selection.path;
  for (const Argument& argument : selection.command->arguments) {
    const bool needed =
        argument.count == Argument::Count::kOne || argument.count == Argument::Count::kSome;
    if (at == words.size() && needed) {
      return std::unexpected(
          Mistake{fmt::format("{} needs {} {}", path, count_words(argument.count), argument.name),
                  fmt::format("see its usage with: {} --help", where)});
    }
    if (auto* const* list = std::get_if<std::vector<std::string>*>(&argument.target)) {
      (*list)->assign(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
      at = words.size();
    } else if (at < words.size()) {
      *std::get<std::string*>(argument.target) = words[at++];
    }
  }
  if (at < words.size()) {
    return std::unexpected(
        Mistake{fmt::format("{} does not take the argument \"{}\"", path, printable(words[at], 64)),
                fmt::format("see its usage with: {} --help", where)});
  }
  return true;
}

// CLI11 splits the words; values are read by Store, so that one place words the mistakes.
Parsed<std::vector<std::string>> read_flags(const std::vector<const Flag*>& flags,
                                            std::vector<std::string> words) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<CLI::Option*> options;
  for (const Flag* flag : flags) options.push_back(declare(app, *flag));
  std::ranges::reverse(words);  // as CLI11 wants them
  try {
    app.parse(std::move(words));
  } catch (const CLI::Error& error) {
    return std::unexpected(Mistake{printable(error.what(), 256), ""});
  }
  for (std::size_t i = 0; i < flags.size(); ++i) {
    for (const std::string& text : options[i]->results()) {
      if (auto stored = store_value(*flags[i], text); !stored)
        return std::unexpected(stored.error());
    }
  }
  return app.remaining();
}

}  // namespace

Parsed<bool> fill(const Selection& selection, const std::vector<Flag>& globals,
                  const std::string& program) {
  std::vector<const Flag*> flags;
  if (selection.command != nullptr) {
    for (const Flag& flag : selection.command->flags) flags.push_back(&flag);
  }
  // A command's own flag wins over a global one of the same name or letter.
  std::vector<Flag> others = globals;
  std::erase_if(others, [&](const Flag& global) {
    return std::ranges::any_of(flags, [&](const Flag* flag) { return flag->name == global.name; });
  });
  for (Flag& global : others) {
    if (std::ranges::any_of(flags, [&](const Flag* flag) { return flag->letter == global.letter; }))
      global.letter = 0;
  }
  for (const Flag& global : others) flags.push_back(&global);

  auto remaining = read_flags(flags, selection.words);
  if (!remaining) return std::unexpected(remaining.error());
  const bool help = std::ranges::any_of(others, [](const Flag& flag) {
    return flag.name == "help" && *std::get<bool*>(flag.target);
  });
  for (const std::string& word : *remaining) {
    const bool refused = selection.command == nullptr || !selection.command->any_flags;
    if (refused && word.size() > 1 && word.starts_with('-'))
      return std::unexpected(unknown_flag(word, flags, selection, program));
  }
  if (help || selection.command == nullptr) return true;
  std::vector<std::string> words = std::move(*remaining);
  if (selection.command->rest != nullptr) {
    *selection.command->rest = selection.rest;
  } else {
    words.insert(words.end(), selection.rest.begin(), selection.rest.end());
  }
  return assign(selection, std::move(words), program);
}

}  // namespace berth::cli
