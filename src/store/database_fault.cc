#include "store/database_fault.h"

#include <cerrno>
#include <sqlite3.h>
#include <unistd.h>

#include "fs/fault.h"

namespace berth::store {
namespace {

// SQLite takes ENOSPC alone for a full disk.
ssize_t told(ssize_t written) {
  if (written < 0 && errno == EDQUOT) errno = ENOSPC;
  return written;
}

// SQLite writes at a place with one of these, by how it was built.
ssize_t write_watched(int fd, const void* data, std::size_t size) {
  const int error = fs::fault::next(fs::fault::Operation::kDatabaseWrite);
  if (error <= 0) return told(::write(fd, data, size));
  errno = error;
  return told(-1);
}

ssize_t pwrite_watched(int fd, const void* data, std::size_t size, off_t offset) {
  const int error = fs::fault::next(fs::fault::Operation::kDatabaseWrite);
  if (error <= 0) return told(::pwrite(fd, data, size, offset));
  errno = error;
  return told(-1);
}

void replace(sqlite3_vfs* vfs, const char* name, sqlite3_syscall_ptr call) {
  // A build without this call has no use for it either.
  (void)vfs->xSetSystemCall(vfs, name, call);
}

bool install() {
  sqlite3_vfs* vfs = sqlite3_vfs_find("unix");
  if (vfs == nullptr) return false;
  replace(vfs, "write", reinterpret_cast<sqlite3_syscall_ptr>(&write_watched));
  replace(vfs, "pwrite", reinterpret_cast<sqlite3_syscall_ptr>(&pwrite_watched));
  replace(vfs, "pwrite64", reinterpret_cast<sqlite3_syscall_ptr>(&pwrite_watched));
  return true;
}

}  // namespace

void watch_database_writes() { [[maybe_unused]] static const bool kOnce = install(); }

}  // namespace berth::store
