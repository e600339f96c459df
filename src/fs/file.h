// Files and directories as objects. Blocking: call from the pool (or before the loop runs). Not
// thread-safe unless said.
//
// Every path below a Dir is relative and cannot leave it (openat2 RESOLVE_BENEATH, no symlinks
// followed); failures are kIo, kNotFound, kDenied, kExhausted by errno, with the path in the
// sentence.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace berth::fs {

struct FileInfo {
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;
  std::uint64_t links = 0;
  std::uint64_t blocks = 0;  // of 512 bytes, as allocated
  unsigned mode = 0;
  unsigned uid = 0;
  bool is_directory = false;
  bool is_regular = false;
};

// An open regular file. Reads and writes are whole (loops over short ones and EINTR).
class File {
 public:
  File() = default;
  File(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  UniqueFd take() { return std::move(fd_); }
  const std::string& name() const { return name_; }

  Result<FileInfo> info() const;
  Result<std::size_t> read_at(std::uint64_t offset,
                              MutableBytes into) const;  // short only at the end
  Status write_at(std::uint64_t offset, Bytes bytes);
  Status truncate(std::uint64_t size);
  Status allocate(std::uint64_t size);  // reserves disk space; kExhausted early instead of late;
                                        // no-op where unsupported
  Status sync();  // fdatasync; after a failure the file must be given up, never synced again
  void start_writeback(std::uint64_t offset,
                       std::uint64_t length);  // hint, so that sync() is short
  // Shares `from`'s blocks (FICLONE). False where the file system cannot.
  Result<bool> clone_from(const File& from);

 private:
  UniqueFd fd_;
  std::string name_;
};

// A directory by descriptor. Names given to its methods are relative paths of plain components.
class Dir {
 public:
  static Result<Dir> open(const std::string& path);
  static Result<Dir> create(const std::string& path,
                            unsigned mode = 0700);  // with parents; existing is fine

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }

  Result<Dir> subdir(std::string_view name) const;
  Result<Dir> make_subdir(std::string_view name,
                          unsigned mode = 0700) const;  // with parents; existing is fine
  Result<File> open_read(std::string_view name) const;
  Result<File> open_write(std::string_view name) const;  // existing, read and write
  Result<File> create_new(std::string_view name,
                          unsigned mode = 0600) const;  // kConflict when it exists
  Result<File> open_or_create(std::string_view name, unsigned mode = 0600) const;
  Result<std::optional<FileInfo>> find(std::string_view name) const;  // nullopt when absent
  Result<std::vector<std::string>> list() const;    // sorted names, without . and ..
  Status remove(std::string_view name) const;       // a file; absent is success
  Status remove_dir(std::string_view name) const;   // an empty directory; absent is success
  Status remove_tree(std::string_view name) const;  // a file or directory with all below
  Status rename(std::string_view from, std::string_view to) const;  // replaces
  // Gives the file a second name; kConflict when `to` exists.
  Status link(std::string_view from, const Dir& to_dir, std::string_view to) const;
  Status link_file(const File& file,
                   std::string_view to) const;  // from an open file (AT_EMPTY_PATH or /proc)
  Status sync() const;                          // makes names durable
  Result<std::string> read_small(std::string_view name,
                                 std::size_t limit) const;  // kTooLarge over limit
  // Old content or new, never half: temp file, fsync, rename, fsync of the directory. A process
  // that dies in it leaves ".<name>.new.<numbers>".
  Status replace(std::string_view name, std::string_view content, unsigned mode = 0600) const;
  Result<std::uint64_t> free_bytes() const;  // available to this user

 private:
  Dir(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

// An advisory lock on a file (flock on an open file description): held by this object, released
// when it goes or the process dies, visible to other processes and to other Locks of this one.
class Lock {
 public:
  enum class Mode { kShared, kExclusive };
  // nullopt when another holds it. Creates the file. Never blocks: a wait is a timer and another
  // try.
  static Result<std::optional<Lock>> try_acquire(const Dir& dir, std::string_view name, Mode mode);

 private:
  explicit Lock(File file) : file_(std::move(file)) {}
  File file_;
};

// A user's own path, opened for reading: a regular file (kInvalid for others), relative to the
// working directory.
Result<File> open_user_file(const std::string& path);
// A user's own path, opened as a directory.
Result<Dir> open_user_dir(const std::string& path);
// Names without "..", empty or over-long parts, control characters or backslashes; at most
// `kMaxPath` bytes. What an artifact's file name must be before it is joined to anything.
Status check_relative_path(std::string_view path);
inline constexpr std::size_t kMaxPath = 1024;

}  // namespace berth::fs
