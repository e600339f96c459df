// The settings of a model's engine as flags: `configure` and `compose up` share them.
#pragma once

#include "cli/command.h"

namespace berth::cli {

struct EngineFlags {
  std::optional<std::int64_t> context_size;
  std::string draft_model;
  std::optional<std::int64_t> draft_tokens;
  std::optional<double> draft_min_acceptance;
};
std::vector<Flag> engine_flags(EngineFlags& flags);
// Checks the ranges and writes into `configuration`.
Status apply(const EngineFlags& flags, control::Configuration& configuration);
// Splits "--a 'b c'" as DMR's raw runtime flags; kInvalid for an open quote.
Result<std::vector<std::string>> runtime_words(const std::string& text);

}  // namespace berth::cli
