#include "fs/scratch.h"

#include <cerrno>
#include <filesystem>
#include <stdlib.h>

namespace berth::fs {
namespace {

namespace files = std::filesystem;

constexpr const char* kLockName = ".lock";

Result<std::optional<Lock>> lock_folder(const std::string& path) {
  TRY(const Dir dir, Dir::open(path));
  return Lock::try_acquire(dir, kLockName, Lock::Mode::kExclusive);
}

void remove_abandoned(const Dir& below, const std::string& prefix) {
  const auto names = below.list();
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(prefix)) continue;
    const std::string path = below.path() + "/" + name;
    std::error_code ignored;
    // Without a lock file it is only just being made.
    if (!files::exists(path + "/" + kLockName, ignored)) continue;
    const auto lock = lock_folder(path);
    if (lock && *lock) files::remove_all(path, ignored);
  }
}

}  // namespace

Result<std::unique_ptr<Scratch>> Scratch::make(const std::string& below,
                                               const std::string& prefix) {
  TRY(const Dir parent, Dir::create(below));
  remove_abandoned(parent, prefix);
  std::string path = below + "/" + prefix + "XXXXXX";
  if (!::mkdtemp(path.data()))
    return fail_errno(errno, fmt::format("cannot make a folder in {}", below));
  TRY(auto lock, lock_folder(path));
  if (!lock) return fail(Code::kConflict, "the folder {} is in use", path);
  return std::unique_ptr<Scratch>(new Scratch(path, std::move(*lock)));
}

Scratch::~Scratch() {
  std::error_code ignored;
  files::remove_all(path_, ignored);
}

}  // namespace berth::fs
