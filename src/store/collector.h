// The collector: takes away what no model and no lease needs.
//
// Blocking, inside write transactions of Catalog. First the rows go, in one transaction. In the
// next the files of those that have no row are renamed into a trash folder: whoever dies in between
// leaves files that nobody believes in, never rows without files, and nobody can bring a blob while
// its file is being taken. The trash is emptied afterwards.
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

// Removes the rows of those of `candidates` (of all blobs, with files that have no row, when
// nullopt) that nothing needs.
Result<Freed> collect(Database& database, const Layout& layout,
                      const std::optional<std::set<oci::Digest>>& candidates, DryRun dry_run);
// After that is committed: moves the files of those that still have no row into the trash.
Status bury(Database& database, const Layout& layout, const std::vector<oci::Digest>& blobs,
            const std::string& trash);

// Outside a transaction: unfinished transfers that nobody works on, and trash of whoever died.
Result<Freed> collect_ingests(const Layout& layout, std::chrono::seconds older_than,
                              DryRun dry_run);

}  // namespace berth::store
