// Faults of the disk on request: the n-th write, fsync, rename, … of this process fails as if the
// system had refused it.
//
// BERTH_FAULT=OPERATION:N:ERROR[:sticky][,…] in the environment; without it each call costs one
// load of a bool. OPERATION: open, read, write, sync, rename, link, allocate, dbwrite (of the
// catalogue). ERROR: ENOSPC, EIO, EMFILE, EDQUOT, EROFS, or `short` (a write takes half). `sticky`:
// from the n-th on, every one. BERTH_FAULT=trace lets nothing fail and writes a line "fault
// OPERATION" on standard error for each call but reads, of which there are many. For tests only;
// any thread. docs/dev/faults.md.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::fs::fault {

enum class Operation { kOpen, kWrite, kSync, kRename, kLink, kAllocate, kDatabaseWrite, kRead };
inline constexpr int kOperations = 8;
inline constexpr int kShort = -1;  // in place of an errno: the write takes half of its bytes

struct Fault {
  Operation operation = Operation::kOpen;
  std::uint64_t turn = 1;
  int error = 0;
  bool sticky = false;
};
// kInvalid with a sentence.
Result<std::vector<Fault>> parse(std::string_view text);

extern const bool kArmed;
int due(Operation operation);

// 0, or what the call that is about to be made must fail with.
inline int next(Operation operation) { return kArmed ? due(operation) : 0; }

}  // namespace berth::fs::fault
