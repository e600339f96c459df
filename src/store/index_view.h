// index.json: the view of the store for other tools (skopeo, crane), one entry a tag. Source: OCI
// image-layout 1.1.
//
// Blocking. The catalogue is the truth; the view is rewritten whole, under a lock.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/manifest.h"
#include "oci/reference.h"
#include "store/layout.h"
#include "store/statement.h"

namespace berth::store {

struct IndexEntry {
  oci::Descriptor blob;
  std::optional<oci::Reference> reference;
};

Result<std::vector<IndexEntry>> read_index_view(
    const Layout& layout);  // kNotFound when there is none
Result<std::string> make_index_view(Database& database);
// Nothing is written when it is so already.
Status write_index_view(const Layout& layout, const std::string& content);

}  // namespace berth::store
