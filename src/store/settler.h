// Makes finished files durable and enters them into the catalogue. Files that are finished at about
// the same time go together: their syncs run side by side, and one transaction and one sync of the
// folder serve all of them. So many small blobs cost little more than one. Changes of the catalogue
// that belong to a file, or stand alone, go into the same transaction.
//
// Loop thread. One for a store; outlives its coroutines. Failures: kIo and kExhausted of the sync,
// after which the file is to be given up; those of commit() (blobs.h).
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "fs/file.h"
#include "rt/async.h"
#include "store/blobs.h"
#include "store/desk.h"

namespace berth::store {

class Settler {
 public:
  // Checks first and changes then: a kNotFound, kConflict, kInvalid or kDenied is its own affair,
  // any other failure undoes what others wrote with it.
  using Work = std::function<Status(Database&)>;

  explicit Settler(Desk& desk, Catalog::Durability durability = Catalog::Durability::kRelaxed)
      : desk_(desk), durability_(durability), settled_(desk.loop()) {}

  // True when the file was taken, false when the blob was here already. The file outlives the call.
  // What has begun is not given up by the Op.
  Task<Result<bool>> settle(rt::Op& op, fs::File& file, Arrival arrival, Work also = {});
  // A change without a file.
  Task<Status> record(rt::Op& op, Work work);

 private:
  struct Entry {
    fs::File* file = nullptr;
    Arrival arrival = {};
    Work also = {};
    std::optional<Result<bool>> outcome = {};
  };
  using Batch = std::deque<std::shared_ptr<Entry>>;

  Task<Result<bool>> wait_for(std::shared_ptr<Entry> entry);
  Task<Status> lead(rt::Op& op);
  Task<Status> make_durable(std::shared_ptr<Entry> entry);
  Task<Status> enter(rt::Op& op, const Batch& batch);
  Status sync_folders(const Batch& batch, const std::vector<Result<bool>>& outcomes) const;

  Result<bool> enter_one(Database& database, const Entry& entry) const;

  Desk& desk_;
  Catalog::Durability durability_;
  rt::Event settled_;
  Batch waiting_;
  bool leading_ = false;
};

}  // namespace berth::store
