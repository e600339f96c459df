// One pass over a local file: hashing it, or copying it and hashing the copy.
//
// Loop thread; the bytes move on the pool through buffers that fit the processor's cache, which
// halves the cost against large ones. While one thread copies, another hashes what has been written
// from the page cache: what is hashed is what is kept. kConflict when the file turns out shorter
// than it was.
#pragma once

#include <functional>

#include "crypto/hash.h"
#include "fs/file.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::store {

using OnBytes = std::function<void(std::uint64_t)>;  // called on the loop with the place reached

// Blocking: hashes the bytes [begin, end) of the file.
Status hash_range(const fs::File& file, std::uint64_t begin, std::uint64_t end,
                  crypto::Hasher& hasher);

Task<Status> hash_file(rt::Op& op, rt::Loop& loop, const fs::File& file, std::uint64_t size,
                       crypto::Hasher& hasher, OnBytes on_bytes);

// Write-back begins at once, so that the final sync is short.
Task<Status> copy_and_hash(rt::Op& op, rt::Loop& loop, const fs::File& from, fs::File& to,
                           std::uint64_t size, crypto::Hasher& hasher, OnBytes on_bytes);

}  // namespace berth::store
