// One pass over a stream: it is read, hashed and written at the same time, in two large buffers.
//
// Loop thread; while the next piece is read, the one before is hashed on one thread of the pool and
// written on another. Write-back begins with the first piece, so that the final sync is short.
#pragma once

#include <functional>
#include <optional>

#include "crypto/hash.h"
#include "fs/file.h"
#include "rt/loop.h"
#include "rt/reader.h"

namespace berth::store {

struct FlowOptions {
  std::uint64_t offset = 0;               // where in the file the stream begins
  std::optional<std::uint64_t> end = {};  // more than this is refused with kDigestMismatch
  std::function<void(std::uint64_t)> on_bytes = {};  // called with the place reached
};

// Reads `from` to its end and returns the place reached. `to` is null when there is nothing to
// write. After a failure everything received before it is in the file and in the hash.
Task<Result<std::uint64_t>> flow(rt::Op& op, rt::Loop& loop, rt::Reader& from, fs::File* to,
                                 crypto::Hasher& hasher, FlowOptions options);

}  // namespace berth::store
