// Which uploads are open at registries, so that a push that died goes on where the registry is.
//
// A claim is exclusive among tasks and processes: two pushes never write into one upload. The URL
// of an upload may itself be a capability, so it is kept in files that only the user can read. What
// is read back is a hint and no more: the registry is asked how much it holds, and the digest of
// the whole decides. Loop thread. Format: docs/dev/upload-journal.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::remote {

struct UploadKey {
  std::string registry;  // scheme, host and port
  std::string repository;
  std::string digest;
};

struct SavedUpload {
  std::string url;
  std::uint64_t held = 0;  // bytes that the registry acknowledged
};

// Released when it goes; what was kept stays.
struct UploadClaim {
  virtual ~UploadClaim() = default;
  virtual std::optional<SavedUpload> found() const = 0;
  virtual rt::Task<void> keep(rt::Op& op, SavedUpload upload) = 0;
  virtual rt::Task<void> forget(rt::Op& op) = 0;
};

struct UploadJournal {
  virtual ~UploadJournal() = default;
  // nullptr when somebody else pushes it or the journal cannot be used: the push goes on without.
  virtual rt::Task<std::unique_ptr<UploadClaim>> claim(rt::Op& op, UploadKey key) = 0;
};

// One file for each upload in a folder, forgotten after a day.
class FileUploadJournal : public UploadJournal {
 public:
  // The folder is made with the first claim.
  FileUploadJournal(rt::Loop& loop, std::string folder) : loop_(loop), folder_(std::move(folder)) {}

  rt::Task<std::unique_ptr<UploadClaim>> claim(rt::Op& op, UploadKey key) override;

 private:
  rt::Loop& loop_;
  std::string folder_;
  bool swept_ = false;
};

}  // namespace berth::remote
