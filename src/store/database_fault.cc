#include "store/database_fault.h"

#include <cerrno>
#include <sqlite3.h>
#include <unistd.h>

#include "fs/fault.h"

namespace berth::store {
namespace {

// SQLite writes at a place with one of these, by how it was built.
ssize_t write_fault(int fd, const void* data, std::size_t size) {
  const int error = fs::fault::next(fs::fault::Operation::kDatabaseWrite);
  if (error <= 0) return ::write(fd, data, size);
  errno = error;
  return -1;
}

ssize_t pwrite_fault(int fd, const void* data, std::size_t size, off_t offset) {
  const int error = fs::fault::next(fs::fault::Operation::kDatabaseWrite);
  if (error <= 0) return ::pwrite(fd, data, size, offset);
  errno = error;
  return -1;
}

void replace(sqlite3_vfs* vfs, const char* name, sqlite3_syscall_ptr call) {
  // A build without this call has no use for it either.
  (void)vfs->xSetSystemCall(vfs, name, call);
}

bool arm() {
  sqlite3_vfs* vfs = sqlite3_vfs_find("unix");
  if (vfs == nullptr) return false;
  replace(vfs, "write", reinterpret_cast<sqlite3_syscall_ptr>(&write_fault));
  replace(vfs, "pwrite", reinterpret_cast<sqlite3_syscall_ptr>(&pwrite_fault));
  replace(vfs, "pwrite64", reinterpret_cast<sqlite3_syscall_ptr>(&pwrite_fault));
  return true;
}

}  // namespace

void arm_database_faults() {
  if (!fs::fault::kArmed) return;
  [[maybe_unused]] static const bool kArmedOnce = arm();
}

}  // namespace berth::store
