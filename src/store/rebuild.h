// Fills an empty catalogue from what else is in the folder: blobs, refs.log, and index.json where
// the log says nothing.
//
// Blocking, inside the transaction that makes the catalogue. Manifests are verified by digest;
// other blobs are taken by name and size, as they were verified when they came (fsck reads them).
// What is damaged or incomplete is left out with a line in the log; its blobs stay, so pulling it
// again costs no transfer.
#pragma once

#include "store/layout.h"
#include "store/statement.h"

namespace berth::store {

Status rebuild(Database& database, const Layout& layout);

}  // namespace berth::store
