#include "fs/file.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <memory>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "fs/fault.h"

namespace berth::fs {
namespace {

using fault::Operation;

// Whether a test wants this call to fail; then errno says with what.
bool fails(Operation operation) {
  const int error = fault::next(operation);
  if (error <= 0) return false;
  errno = error;
  return true;
}

FileInfo info_of(const struct stat& s) {
  constexpr std::int64_t kNano = 1'000'000'000;
  return {.size = static_cast<std::uint64_t>(s.st_size),
          .mtime_ns = s.st_mtim.tv_sec * kNano + s.st_mtim.tv_nsec,
          .ctime_ns = s.st_ctim.tv_sec * kNano + s.st_ctim.tv_nsec,
          .inode = s.st_ino,
          .device = s.st_dev,
          .links = s.st_nlink,
          .blocks = static_cast<std::uint64_t>(s.st_blocks),
          .mode = s.st_mode & 07777U,
          .uid = s.st_uid,
          .is_directory = S_ISDIR(s.st_mode),
          .is_regular = S_ISREG(s.st_mode)};
}

std::string joined(const std::string& dir, std::string_view name) {
  return fmt::format("{}/{}", dir, name);
}

// Opens beneath `dir` only: no "..", no absolute path, no symlink anywhere on the way (Linux 5.6).
Result<UniqueFd> open_beneath(int dir, const std::string& dir_path, std::string_view name,
                              int flags, unsigned mode, std::string_view doing) {
  const std::string text(name);
  struct open_how how = {};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  // Looking at a name is no opening: it needs no more than the name.
  long fd = (flags & O_PATH) == 0 && fails(Operation::kOpen) ? -1 : 0;
  if (fd == 0) {
    do {
      fd = ::syscall(SYS_openat2, dir, text.c_str(), &how, sizeof(how));
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  }
  if (fd < 0)
    return fail_errno(errno, fmt::format("cannot {} {}", doing, joined(dir_path, printable(name))));
  return UniqueFd(static_cast<int>(fd));
}

ssize_t write_once(int fd, Bytes bytes, off_t offset) {
  std::size_t size = bytes.size();
  const int error = fault::next(Operation::kWrite);
  if (error == fault::kShort) size = (size + 1) / 2;
  if (error > 0) {
    errno = error;
    return -1;
  }
  return ::pwrite(fd, bytes.data(), size, offset);
}

Status make_dirs(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT || path.find('/') == std::string::npos) {
    return fail_errno(errno, fmt::format("cannot create the folder {}", path));
  }
  const std::size_t slash = path.find_last_of('/');
  if (slash == 0) return fail_errno(ENOENT, fmt::format("cannot create the folder {}", path));
  TRY_OK(make_dirs(path.substr(0, slash), mode));
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("cannot create the folder {}", path));
}

}  // namespace

Result<FileInfo> File::info() const {
  struct stat s = {};
  if (::fstat(fd_.get(), &s) != 0)
    return fail_errno(errno, fmt::format("cannot look at {}", name_));
  return info_of(s);
}

Result<std::size_t> File::read_at(std::uint64_t offset, MutableBytes into) const {
  std::size_t have = 0;
  if (fails(Operation::kRead)) return fail_errno(errno, fmt::format("cannot read {}", name_));
  while (have < into.size()) {
    const ssize_t n = ::pread(fd_.get(), into.data() + have, into.size() - have,
                              static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, fmt::format("cannot read {}", name_));
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  return have;
}

Status File::write_at(std::uint64_t offset, Bytes bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write_once(fd_.get(), bytes.subspan(done), static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, fmt::format("cannot write {}", name_));
    done += static_cast<std::size_t>(n);
  }
  return {};
}

Status File::truncate(std::uint64_t size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno(errno, fmt::format("cannot resize {}", name_));
  }
  return {};
}

Status File::allocate(std::uint64_t size) {
  if (size == 0) return {};
  if (!fails(Operation::kAllocate) &&
      ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) == 0)
    return {};
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR) return {};
  return fail_errno(errno, fmt::format("cannot reserve {} for {}", format_size(size), name_));
}

Status File::sync() {
  if (fails(Operation::kSync) || ::fdatasync(fd_.get()) != 0)
    return fail_errno(errno, fmt::format("cannot make {} durable", name_));
  return {};
}

void File::start_writeback(std::uint64_t offset, std::uint64_t length) {
  (void)::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length),
                          SYNC_FILE_RANGE_WRITE);
}

Result<bool> File::clone_from(const File& from) {
  if (::ioctl(fd_.get(), FICLONE, from.fd()) == 0) return true;
  switch (errno) {
    case EOPNOTSUPP:
    case ENOTTY:
    case EXDEV:
    case EINVAL:
    case ENOSYS:
    case EPERM:
    case EBADF:
    case ETXTBSY:
      return false;
    default:
      return fail_errno(errno, fmt::format("cannot share the blocks of {}", from.name()));
  }
}

Result<Dir> Dir::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(errno, fmt::format("cannot open the folder {}", path));
  return Dir(UniqueFd(fd), path);
}

Result<Dir> Dir::create(const std::string& path, unsigned mode) {
  TRY_OK(make_dirs(path, mode));
  return open(path);
}

Result<Dir> Dir::subdir(std::string_view name) const {
  TRY(UniqueFd fd,
      open_beneath(fd_.get(), path_, name, O_RDONLY | O_DIRECTORY, 0, "open the folder"));
  return Dir(std::move(fd), joined(path_, name));
}

Result<Dir> Dir::make_subdir(std::string_view name, unsigned mode) const {
  TRY_OK(check_relative_path(name));
  for (std::size_t at = 0; at != std::string_view::npos;) {
    at = name.find('/', at + 1);
    const std::string part(name.substr(0, at));
    if (::mkdirat(fd_.get(), part.c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno(errno, fmt::format("cannot create the folder {}", joined(path_, part)));
    }
  }
  return subdir(name);
}

Result<File> Dir::open_read(std::string_view name) const {
  TRY(UniqueFd fd, open_beneath(fd_.get(), path_, name, O_RDONLY | O_NONBLOCK, 0, "open"));
  return File(std::move(fd), joined(path_, name));
}

Result<File> Dir::open_write(std::string_view name) const {
  TRY(UniqueFd fd, open_beneath(fd_.get(), path_, name, O_RDWR, 0, "open"));
  return File(std::move(fd), joined(path_, name));
}

Result<File> Dir::create_new(std::string_view name, unsigned mode) const {
  TRY(UniqueFd fd, open_beneath(fd_.get(), path_, name, O_RDWR | O_CREAT | O_EXCL, mode, "create"));
  return File(std::move(fd), joined(path_, name));
}

Result<File> Dir::open_or_create(std::string_view name, unsigned mode) const {
  TRY(UniqueFd fd, open_beneath(fd_.get(), path_, name, O_RDWR | O_CREAT, mode, "open"));
  return File(std::move(fd), joined(path_, name));
}

Result<std::optional<FileInfo>> Dir::find(std::string_view name) const {
  auto fd = open_beneath(fd_.get(), path_, name, O_PATH, 0, "look at");
  if (!fd && fd.error().code() == Code::kNotFound) return std::nullopt;
  if (!fd) return std::unexpected(std::move(fd.error()));
  struct stat s = {};
  if (::fstat(fd->get(), &s) != 0)
    return fail_errno(errno, fmt::format("cannot look at {}", joined(path_, name)));
  return info_of(s);
}

Result<std::vector<std::string>> Dir::list() const {
  TRY(UniqueFd fd, open_beneath(fd_.get(), path_, ".", O_RDONLY | O_DIRECTORY, 0, "list"));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd.get()), ::closedir);
  if (!dir) return fail_errno(errno, fmt::format("cannot list {}", path_));
  (void)fd.release();  // closedir closes it
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail_errno(errno, fmt::format("cannot list {}", path_));
  std::ranges::sort(names);
  return names;
}

Status Dir::remove(std::string_view name) const {
  TRY_OK(check_relative_path(name));
  if (::unlinkat(fd_.get(), std::string(name).c_str(), 0) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, fmt::format("cannot remove {}", joined(path_, name)));
}

Status Dir::remove_dir(std::string_view name) const {
  TRY_OK(check_relative_path(name));
  if (::unlinkat(fd_.get(), std::string(name).c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT)
    return {};
  return fail_errno(errno, fmt::format("cannot remove the folder {}", joined(path_, name)));
}

Status Dir::remove_tree(std::string_view name) const {
  auto dir = subdir(name);
  if (!dir) {
    const auto info = find(name);
    if (info && *info && (*info)->is_directory) return std::unexpected(std::move(dir.error()));
    return remove(name);  // a file, a symlink (removed itself) or nothing
  }
  TRY(const auto names, dir->list());
  for (const std::string& child : names) TRY_OK(dir->remove_tree(child));
  return remove_dir(name);
}

Status Dir::rename(std::string_view from, std::string_view to) const {
  TRY_OK(check_relative_path(from));
  TRY_OK(check_relative_path(to));
  if (!fails(Operation::kRename) &&
      ::renameat(fd_.get(), std::string(from).c_str(), fd_.get(), std::string(to).c_str()) == 0)
    return {};
  return fail_errno(errno, fmt::format("cannot rename {} to {}", joined(path_, from), to));
}

Status Dir::link(std::string_view from, const Dir& to_dir, std::string_view to) const {
  TRY_OK(check_relative_path(from));
  TRY_OK(check_relative_path(to));
  if (!fails(Operation::kLink) &&
      ::linkat(fd_.get(), std::string(from).c_str(), to_dir.fd(), std::string(to).c_str(), 0) == 0)
    return {};
  return fail_errno(
      errno, fmt::format("cannot link {} as {}", joined(path_, from), joined(to_dir.path(), to)));
}

Status Dir::link_file(const File& file, std::string_view to) const {
  TRY_OK(check_relative_path(to));
  const std::string from = fmt::format("/proc/self/fd/{}", file.fd());
  if (!fails(Operation::kLink) &&
      ::linkat(AT_FDCWD, from.c_str(), fd_.get(), std::string(to).c_str(), AT_SYMLINK_FOLLOW) == 0)
    return {};
  return fail_errno(errno, fmt::format("cannot link {} as {}", file.name(), joined(path_, to)));
}

Status Dir::sync() const {
  if (fails(Operation::kSync) || ::fsync(fd_.get()) != 0)
    return fail_errno(errno, fmt::format("cannot make {} durable", path_));
  return {};
}

Result<std::string> Dir::read_small(std::string_view name, std::size_t limit) const {
  TRY(const File file, open_read(name));
  TRY(const FileInfo info, file.info());
  if (!info.is_regular) return fail(Code::kInvalid, "{} is not a regular file", file.name());
  if (info.size > limit) {
    return fail(Code::kTooLarge, "{} is {}, more than the {} allowed", file.name(),
                format_size(info.size), format_size(limit));
  }
  std::string content(info.size, '\0');
  TRY(const std::size_t have, file.read_at(0, std::as_writable_bytes(std::span(content))));
  content.resize(have);
  return content;
}

Status Dir::replace(std::string_view name, std::string_view content, unsigned mode) const {
  const std::size_t last = name.rfind('/') + 1;  // 0 when there is no slash
  const std::string temp = fmt::format("{}.{}.new.{}.{}", name.substr(0, last), name.substr(last),
                                       ::getpid(), ::gettid());
  TRY_OK(remove(temp));
  TRY(File file, create_new(temp, mode));
  Status status = file.write_at(0, as_bytes(content));
  if (status) status = file.sync();
  BERTH_FAILPOINT("fs.replace.before_rename");
  if (status) status = rename(temp, name);
  BERTH_FAILPOINT("fs.replace.after_rename");
  if (!status) {
    (void)remove(temp);
    return status;
  }
  return sync();
}

Result<std::uint64_t> Dir::free_bytes() const {
  struct statvfs s = {};
  if (::fstatvfs(fd_.get(), &s) != 0)
    return fail_errno(errno, fmt::format("cannot look at the file system of {}", path_));
  return static_cast<std::uint64_t>(s.f_bavail) * s.f_frsize;
}

Result<std::optional<Lock>> Lock::try_acquire(const Dir& dir, std::string_view name, Mode mode) {
  TRY(File file, dir.open_or_create(name));
  const int operation = (mode == Mode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (::flock(file.fd(), operation) == 0) return Lock(std::move(file));
  if (errno == EWOULDBLOCK || errno == EINTR) return std::nullopt;
  return fail_errno(errno, fmt::format("cannot lock {}", file.name()));
}

Result<File> open_user_file(const std::string& path) {
  const int fd =
      fails(Operation::kOpen) ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_errno(errno, fmt::format("cannot open {}", printable(path)));
  File file{UniqueFd(fd), path};
  TRY(const FileInfo info, file.info());
  if (!info.is_regular) return fail(Code::kInvalid, "{} is not a regular file", printable(path));
  return file;
}

Result<Dir> open_user_dir(const std::string& path) { return Dir::open(path); }

Status check_relative_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath) {
    return fail(Code::kInvalid, "\"{}\" is not a file name: it must have 1 to {} bytes",
                printable(path, 80), kMaxPath);
  }
  for (const unsigned char c : path) {
    if (c < 0x20 || c == 0x7F || c == '\\') {
      return fail(Code::kInvalid, "the file name \"{}\" holds a control character or a backslash",
                  printable(path, 120));
    }
  }
  for (const std::string& part : split(path, '/')) {
    if (part.empty() || part == "." || part == ".." || part.size() > 255) {
      return fail(Code::kInvalid,
                  "the file name \"{}\" must be relative, without empty, \".\" or \"..\" parts",
                  printable(path, 120));
    }
  }
  return {};
}

}  // namespace berth::fs
