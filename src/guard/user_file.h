// Files of users that an operator writes: small, read whole. Private to guard.
#pragma once

#include <string>

#include "base/error.h"

namespace berth::guard {

// Blocking. kTooLarge over 1 MiB; those of fs.
Result<std::string> read_user_file(const std::string& path);

}  // namespace berth::guard
