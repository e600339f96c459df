// Checks a store, and mends what needs nothing from outside.
//
// Loop thread. Several processes may go on using the store meanwhile. Fetching a lost blob again is
// the caller's: set_aside() it, then Store::put.
#pragma once

#include "content/content.h"
#include "store/desk.h"
#include "store/finding.h"

namespace berth::store {

// With read_data every blob is read, several at a time; progress gets kBytes of each.
Task<Result<CheckReport>> check_store(rt::Op& op, Desk& desk, CheckOptions options,
                                      content::Progress& progress);

// Takes a blob's file out of view and deletes it; its row stays, so that a put heals it. Nothing
// when it is right after all.
Task<Status> set_aside(rt::Op& op, Desk& desk, oci::Descriptor blob);

// Rows, log and left-overs of the dead, from what lies in the folder. Blobs are not touched, but
// for files without a row: they get one when their bytes are right, and go when they are old and
// not.
Task<Status> mend_records(rt::Op& op, Desk& desk, std::vector<Finding> findings);

}  // namespace berth::store
