#include "fs/scratch.h"

#include <cerrno>
#include <filesystem>
#include <stdlib.h>

namespace berth::fs {
namespace {

namespace files = std::filesystem;

constexpr const char* kLockName = ".lock";
constexpr int kTries = 100;

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
  for (int tries = 0; tries < kTries; ++tries) {
    std::string path = below + "/" + prefix + "XXXXXX";
    if (!::mkdtemp(path.data()))
      return fail_errno(errno, fmt::format("cannot make a folder in {}", below));
    TRY(auto lock, lock_folder(path));
    // Between the lock file and the lock on it, another one's search for what is abandoned can come
    // first: then it holds the lock, or has removed the folder. Once the lock is ours nobody does.
    std::error_code ignored;
    if (lock && files::exists(path + "/" + kLockName, ignored)) {
      return std::unique_ptr<Scratch>(new Scratch(path, std::move(*lock)));
    }
  }
  return fail(Code::kUnavailable,
              "no folder in {} stays: other processes remove what is made there", below);
}

Scratch::~Scratch() {
  std::error_code ignored;
  files::remove_all(path_, ignored);
}

}  // namespace berth::fs
