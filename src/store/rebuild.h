// Fills an empty catalogue from what else is in the folder: blobs, refs.log, and index.json where
// the log says nothing.
//
// Blocking, inside the transaction that makes the catalogue. Manifests are verified by digest;
// other blobs are taken by name and size, as they were verified when they came (fsck reads them).
// What is damaged or incomplete is left out with a line in the log; its blobs stay, so pulling it
// again costs no transfer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/manifest.h"
#include "store/layout.h"
#include "store/statement.h"

namespace berth::store {

Status rebuild(Database& database, const Layout& layout);

// A manifest or index as it lies among the blobs, its digest checked.
struct Document {
  oci::Descriptor blob;
  std::vector<oci::Descriptor> children;
};
// nullopt when it is absent, damaged or no manifest. `media_type` may be "": then its own say.
std::optional<Document> read_document(const Layout& layout, const oci::Digest& digest,
                                      std::string media_type);

}  // namespace berth::store
