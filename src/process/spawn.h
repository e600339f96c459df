// fork and exec with everything prepared beforehand. Private to process.
//
// Blocks for the moment until the program runs (or could not be run).
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/unique_fd.h"
#include "process/command.h"

namespace berth::process {

enum class Outputs { kMerged, kSeparate };

// This process's ends; `errors` only when separate, `input` only when the command has some.
struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd input;
  UniqueFd output;
  UniqueFd errors;
};

Result<Spawned> spawn(const Command& command, Outputs outputs);

}  // namespace berth::process
