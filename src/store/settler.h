// Makes finished files durable and enters them into the catalogue. Files that are finished at about
// the same time go together: their syncs run side by side, and one transaction and one sync of the
// folder serve all of them. So many small blobs cost little more than one.
//
// Loop thread. One for a store; outlives its coroutines. Failures: kIo and kExhausted of the sync,
// after which the file is to be given up; those of commit() (blobs.h).
#pragma once

#include <deque>
#include <memory>

#include "fs/file.h"
#include "rt/async.h"
#include "store/blobs.h"
#include "store/desk.h"

namespace berth::store {

class Settler {
 public:
  explicit Settler(Desk& desk) : desk_(desk), settled_(desk.loop()) {}

  // True when the file was taken, false when the blob was here already. The file outlives the call.
  // What has begun is not given up by the Op.
  Task<Result<bool>> settle(rt::Op& op, fs::File& file, Arrival arrival);

 private:
  struct Entry {
    fs::File* file;
    Arrival arrival;
    std::optional<Result<bool>> outcome = {};
  };
  using Batch = std::deque<std::shared_ptr<Entry>>;

  Task<Status> lead(rt::Op& op);
  Task<Status> make_durable(std::shared_ptr<Entry> entry);
  Task<Status> enter(rt::Op& op, const Batch& batch);
  Task<Status> sync_folders(const Batch& batch);

  Desk& desk_;
  rt::Event settled_;
  Batch waiting_;
  bool leading_ = false;
};

}  // namespace berth::store
