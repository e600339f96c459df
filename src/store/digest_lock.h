// One lock per digest, across processes: whoever holds it may write the blob's ingest.
//
// A byte range lock (OFD, released when the process dies) in one file at a place made from the
// digest: no lock files pile up, and none has to be unlinked under a waiter. Blocking but never
// waits.
#pragma once

#include <optional>

#include "fs/file.h"
#include "oci/digest.h"

namespace berth::store {

class DigestLock {
 public:
  // nullopt when another holder, here or in another process, has it. kUnsupported where files
  // cannot be locked.
  static Result<std::optional<DigestLock>> try_acquire(const fs::Dir& root,
                                                       const oci::Digest& digest);

 private:
  explicit DigestLock(fs::File file) : file_(std::move(file)) {}
  fs::File file_;
};

}  // namespace berth::store
