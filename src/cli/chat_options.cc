// What /set changes.
#include <array>
#include <charconv>

#include "base/text.h"
#include "cli/chat.h"

namespace berth::cli {
namespace {

Result<double> number_between(const std::string& name, const std::string& text, double low,
                              double high) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    return fail(Code::kInvalid, "{} takes a number from {} to {}, not \"{}\"", name, low, high,
                printable(text, 64));
  }
  return value;
}

Result<std::int64_t> whole(const std::string& name, const std::string& text, std::int64_t low) {
  const auto value = parse_i64(text);
  if (!value || *value < low || *value > std::numeric_limits<std::int32_t>::max()) {
    return fail(Code::kInvalid, "{} takes a whole number of at least {}, not \"{}\"", name, low,
                printable(text, 64));
  }
  return *value;
}

struct Parameter {
  std::string_view name;
  Status (*set)(control::ChatOptions&, const std::string& text);
};

Status set_context(control::ChatOptions& options, const std::string& text) {
  TRY(const std::int64_t value, whole("num_ctx", text, 1));
  options.context_size = static_cast<std::uint64_t>(value);
  return {};
}
Status set_temperature(control::ChatOptions& options, const std::string& text) {
  TRY(options.temperature, number_between("temperature", text, 0, 10));
  return {};
}
Status set_top_p(control::ChatOptions& options, const std::string& text) {
  TRY(options.top_p, number_between("top_p", text, 0, 1));
  return {};
}
Status set_max_tokens(control::ChatOptions& options, const std::string& text) {
  TRY(options.max_tokens, whole("max_tokens", text, 1));
  return {};
}
Status set_seed(control::ChatOptions& options, const std::string& text) {
  TRY(options.seed, whole("seed", text, 0));
  return {};
}

constexpr std::array<Parameter, 6> kParameters = {{{"num_ctx", set_context},
                                                   {"temp", set_temperature},
                                                   {"temperature", set_temperature},
                                                   {"top_p", set_top_p},
                                                   {"max_tokens", set_max_tokens},
                                                   {"seed", set_seed}}};

constexpr std::string_view kUsage =
    "usage: /set system TEXT, or /set num_ctx|temp|top_p|max_tokens|seed VALUE (also: /set "
    "parameter NAME VALUE)";

Result<std::string> set_parameter(ChatSetup& setup, const std::string& name,
                                  const std::string& value) {
  for (const Parameter& parameter : kParameters) {
    if (parameter.name != name) continue;
    TRY_OK(parameter.set(setup.options, value));
    return fmt::format("Set {} to {}", name, printable(value, 64));
  }
  return fail(Code::kInvalid, "there is no parameter \"{}\"; {}", printable(name, 64), kUsage);
}

Result<std::string> set_system(ChatSetup& setup, const std::vector<std::string>& words) {
  setup.system = fmt::format("{}", fmt::join(words.begin() + 2, words.end(), " "));
  return setup.system.empty() ? "Cleared system message." : "Set system message.";
}

}  // namespace

Result<std::string> set_option(ChatSetup& setup, const std::vector<std::string>& words) {
  if (words.size() >= 2 && words[1] == "system") return set_system(setup, words);
  if (words.size() == 4 && words[1] == "parameter") return set_parameter(setup, words[2], words[3]);
  if (words.size() == 3 && words[1] != "parameter") return set_parameter(setup, words[1], words[2]);
  return fail(Code::kInvalid, "{}", kUsage);
}

}  // namespace berth::cli
