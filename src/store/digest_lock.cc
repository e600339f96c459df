#include "store/digest_lock.h"

#include <cerrno>
#include <charconv>
#include <fcntl.h>

namespace berth::store {
namespace {

// 60 bits of the digest: two different digests that share a place only wait for each other.
off_t place(const oci::Digest& digest) {
  const std::string_view hex = digest.hex().substr(0, 15);
  std::uint64_t value = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  return static_cast<off_t>(value);
}

}  // namespace

Result<std::optional<DigestLock>> DigestLock::try_acquire(const fs::Dir& root,
                                                          const oci::Digest& digest) {
  TRY(fs::File file, root.open_or_create("locks/digests"));
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = place(digest);
  range.l_len = 1;
  if (::fcntl(file.fd(), F_OFD_SETLK, &range) == 0) return DigestLock(std::move(file));
  if (errno == EAGAIN || errno == EACCES) return std::nullopt;
  return fail(Code::kUnsupported,
              "the file system of {} cannot lock files: this folder has to be on a local disk",
              root.path());
}

}  // namespace berth::store
