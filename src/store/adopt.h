// Taking a local file: shared blocks where the file system can, else a copy made in the pass that
// hashes it, or a link.
//
// Loop thread. A file that changes while it is read is refused.
#pragma once

#include <string>

#include "content/content.h"
#include "store/desk.h"
#include "store/records.h"
#include "store/settler.h"

namespace berth::store {

Task<Result<Adopted>> adopt_file(rt::Op& op, Desk& desk, Settler& settler, std::string path,
                                 Adoption mode, content::Progress& progress);

// kCorrupt when the blob is a link to a file whose content is no longer the blob's.
Task<Status> check_link(rt::Op& op, Desk& desk, oci::Digest digest);

}  // namespace berth::store
