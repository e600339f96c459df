// The table of llama-server's flags that Berth knows. Private to engine.
#pragma once

#include <span>
#include <string_view>
#include <variant>

#include "engine/options.h"

namespace berth::engine {

struct IntegerField {
  EngineOptions::Integer EngineOptions::* member;
  std::int64_t least;
  std::int64_t most;
};
struct RealField {
  EngineOptions::Real EngineOptions::* member;
  double least;
  double most;
};
// No value: the flag itself says on, one of `off_names` says off.
struct SwitchField {
  EngineOptions::Switch EngineOptions::* member;
  std::string_view off_names;  // "--no-x -nox", the first one is emitted; "" = cannot be turned off
};
struct WordField {
  EngineOptions::Word EngineOptions::* member;
  bool (*accepts)(std::string_view value);
  std::string_view expected;   // for the message
  std::string_view bare = "";  // what the flag alone means ("" = it needs a value)
};
// Another spelling of a setting: the flag alone gives it a fixed value. Never emitted.
struct FixedWord {
  EngineOptions::Word EngineOptions::* member;
  std::string_view value;
};
struct FixedInteger {
  EngineOptions::Integer EngineOptions::* member;
  std::int64_t value;
};

struct Flag {
  std::string_view names;  // "--threads -t": the first one is emitted
  std::variant<IntegerField, RealField, SwitchField, WordField, FixedWord, FixedInteger> field;

  std::string_view name() const { return names.substr(0, names.find(' ')); }
};

std::span<const Flag> flag_table();
// Whether a blank-separated list of names holds this one.
bool names_hold(std::string_view names, std::string_view name);

}  // namespace berth::engine
