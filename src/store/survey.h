// Looks at all that a store says of itself: rows against files, manifests against rows, names,
// log, view, left-overs.
//
// Blocking, inside a transaction of Catalog that nobody writes beside (rehearse): what another
// process is just doing is then either done or not begun. Manifests are read and their digests
// checked; other blobs by size only (store/fsck.h reads them).
#pragma once

#include "store/finding.h"
#include "store/layout.h"
#include "store/statement.h"

namespace berth::store {

struct Surveyed {
  std::vector<Finding> findings;
  std::vector<oci::Descriptor> unread;  // blobs that look right and whose bytes were not looked at
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
};
Result<Surveyed> survey(Database& database, const Layout& layout);

// A fault of a blob, with the names that need it.
Result<Finding> blob_finding(Database& database, Finding::Kind kind, const oci::Descriptor& blob,
                             std::string message);

}  // namespace berth::store
