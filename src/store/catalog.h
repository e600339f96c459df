// The catalogue: the SQLite database that is the truth about tags, models, leases and what each
// blob is.
//
// Blocking, thread-safe: calls of several threads of one process take turns, those of several
// processes by SQLite's lock. What to do with it is in free functions over Database (blobs.h,
// models.h, sessions.h, collector.h, settings.h). kTimeout means only that another process is
// writing: try again later (Desk does). Schema: docs/dev/store.md.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/failpoint.h"
#include "store/layout.h"
#include "store/statement.h"
#include "store/upgrade.h"

namespace berth::store {

// What a catalogue consists of: a store's (store_schema()), or a registry's (module depot).
struct Schema {
  std::string_view file;  // below the root
  std::int64_t version = 0;
  std::vector<const char*> tables;  // scripts that make an empty one
  std::span<const SchemaStep> steps;
  // Fills a new one from what else is in the folder; inside the transaction that makes it.
  Status (*fill)(Database& database, const Layout& layout) = nullptr;
  Database::Faults faults = {};
};
const Schema& store_schema();

class Catalog {
 public:
  // kRelaxed survives the death of the process; kFull also a power failure.
  enum class Durability { kRelaxed, kFull };

  // Makes or rebuilds the catalogue when it is not there.
  static Result<std::unique_ptr<Catalog>> open(const Layout& layout,
                                               const Schema& schema = store_schema());

  // `work(Database&)` sees one state of the catalogue.
  template <class Work>
  std::invoke_result_t<Work, Database&> read(Work work) {
    const std::lock_guard guard(mutex_);
    TRY(Transaction transaction, Transaction::begin(*database_, Transaction::Kind::kRead));
    return work(*database_);
  }

  // Committed when `work` succeeds, undone otherwise. No other process writes meanwhile.
  template <class Work>
  std::invoke_result_t<Work, Database&> write(Durability durability, Work work) {
    const std::lock_guard guard(mutex_);
    TRY_OK(check_writable());
    TRY_OK(set(durability));
    TRY(Transaction transaction, Transaction::begin(*database_, Transaction::Kind::kWrite));
    auto result = work(*database_);
    if (!result) return result;
    BERTH_FAILPOINT("store.catalog.before_commit");
    TRY_OK(transaction.commit());
    BERTH_FAILPOINT("store.catalog.after_commit");
    return result;
  }

  // Like write, but always undone.
  template <class Work>
  std::invoke_result_t<Work, Database&> rehearse(Work work) {
    const std::lock_guard guard(mutex_);
    TRY_OK(check_writable());
    TRY(Transaction transaction, Transaction::begin(*database_, Transaction::Kind::kWrite));
    return work(*database_);
  }

  Status check_writable() const;

 private:
  Catalog(std::unique_ptr<Database> database, const Layout& layout)
      : database_(std::move(database)), root_(layout.root().path()), access_(layout.access()) {}
  Status set(Durability durability);

  std::mutex mutex_;
  std::unique_ptr<Database> database_;
  std::string root_;
  Layout::Access access_;
  Durability durability_ = Durability::kRelaxed;
};

}  // namespace berth::store
