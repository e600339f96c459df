// The collector: takes away what no model and no lease needs.
//
// Blocking, inside a write transaction of Catalog: a blob goes (by rename into a trash folder) in
// the same transaction as its row, so nobody sees one without the other; the trash is emptied
// afterwards.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/layout.h"
#include "store/records.h"
#include "store/statement.h"

namespace berth::store {

// A document and everything below it.
Result<std::set<oci::Digest>> closure(Database& database, const std::vector<oci::Digest>& roots);

// Removes those of `candidates` (of all blobs, with files that have no row, when nullopt) that
// nothing needs.
Result<Freed> collect(Database& database, const Layout& layout,
                      const std::optional<std::set<oci::Digest>>& candidates,
                      const std::string& trash, DryRun dry_run);

// Outside a transaction: unfinished transfers that nobody works on, and trash of whoever died.
Result<Freed> collect_ingests(const Layout& layout, std::chrono::seconds older_than,
                              DryRun dry_run);

}  // namespace berth::store
