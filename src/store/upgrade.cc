#include "store/upgrade.h"

#include <algorithm>

#include "base/log.h"

namespace berth::store {
namespace {

Result<std::int64_t> version_of(Database& database) {
  TRY(Rows rows, database.query("PRAGMA user_version"));
  TRY_OK(rows.next());
  return rows.integer(0);
}

// What a step says is never changed: a store of that version may still lie somewhere.
constexpr SchemaStep kSteps[] = {
    {.from = 1, .sql = R"sql(
CREATE TABLE left_out(  -- children of a manifest that were not wanted and have not come since
  parent TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE, child TEXT NOT NULL,
  PRIMARY KEY(parent, child)) WITHOUT ROWID;
CREATE INDEX left_out_by_child ON left_out(child);
)sql"},
};

}  // namespace

std::span<const SchemaStep> schema_steps() { return kSteps; }

Status upgrade(Database& database, std::span<const SchemaStep> steps, std::int64_t target) {
  TRY(Transaction transaction, Transaction::begin(database, Transaction::Kind::kWrite));
  TRY(std::int64_t version, version_of(database));
  if (version >= target) return {};
  log::info("the catalogue is brought from version {} to {}", version, target);
  for (; version < target; ++version) {
    const auto step = std::ranges::find(steps, version, &SchemaStep::from);
    if (step == steps.end()) {
      return fail(Code::kInternal, "there is no way from version {} of the catalogue to {}",
                  version, target);
    }
    TRY_OK(database.script(step->sql));
  }
  TRY_OK(database.script(fmt::format("PRAGMA user_version = {}", target).c_str()));
  return transaction.commit();
}

}  // namespace berth::store
