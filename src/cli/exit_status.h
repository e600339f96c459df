// The exit statuses, as one table: what docs/exit-status.md shows and scripts may rely on.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitNo = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitCancelled = 130;

int exit_status(Code code);
std::string exit_status_page();  // docs/exit-status.md

}  // namespace berth::cli
