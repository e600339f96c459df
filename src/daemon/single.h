// One daemon a store: a lock that names its holder. Private to daemon.
#pragma once

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::daemon {

// Held while it lives; the kernel drops it when the process dies. Blocking. A POSIX record lock,
// because of these the kernel tells who holds them; this file is opened nowhere else, so closing
// another descriptor of it cannot drop the lock.
class SingleDaemon {
 public:
  // kConflict with the pid of the daemon that serves this store.
  static Result<SingleDaemon> acquire(const std::string& store);

 private:
  explicit SingleDaemon(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace berth::daemon
