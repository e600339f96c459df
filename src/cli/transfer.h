// Pulling, as `pull` and as `run` and `compose` do it when a model is absent.
#pragma once

#include "cli/command.h"

namespace berth::cli {

// Draws progress and says what was done; errors come with hints.
rt::Task<Result<control::PullResult>> pull_model(Context& context, control::PullRequest request,
                                                 std::string progress_word);
// HF_TOKEN, for references to Hugging Face only.
std::string hugging_face_token(const Context& context, const std::string& model);

// --limit-rate, and what it says; 0 for no limit.
Flag limit_rate_flag(std::string& target);
Result<std::uint64_t> limit_rate_of(const std::string& text);

}  // namespace berth::cli
