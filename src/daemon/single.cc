#include "daemon/single.h"

#include <cerrno>
#include <fcntl.h>

namespace berth::daemon {

Result<SingleDaemon> SingleDaemon::acquire(const std::string& store) {
  const std::string path = store + "/daemon.lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, fmt::format("cannot open the daemon's lock {}", path));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return SingleDaemon(std::move(fd));
  if (errno != EACCES && errno != EAGAIN) {
    return fail_errno(errno, fmt::format("cannot take the daemon's lock {}", path));
  }
  struct flock holder{};
  holder.l_type = F_WRLCK;
  holder.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_GETLK, &holder) != 0 || holder.l_type == F_UNLCK) holder.l_pid = 0;
  return fail(
      Code::kConflict,
      "another daemon (pid {}) serves the store {}; stop it first, or give this one another store",
      holder.l_pid, store);
}

}  // namespace berth::daemon
