// Blobs in the catalogue: what is here, what a manifest refers to, and the step that makes a
// finished file visible.
//
// Blocking, inside a transaction of Catalog. A blob is here when its row is, and its file has the
// row's size.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "oci/manifest.h"
#include "store/layout.h"
#include "store/statement.h"

namespace berth::store {

// What was recorded of a file that a blob is a hard link to.
struct LinkedFile {
  std::string path;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;
};
LinkedFile linked_file(std::string path, const fs::FileInfo& info);
bool unchanged(const LinkedFile& recorded, const fs::FileInfo& now);

struct BlobRow {
  std::uint64_t size = 0;
  std::string media_type;
  bool document = false;
};
Result<std::optional<BlobRow>> find_row(Database& database, const oci::Digest& digest);

enum class Presence {
  kAbsent,
  kHere,
  kSuspect,  // a link whose file was touched since: its content has to be looked at
};
// For a manifest: with everything below it but `unwanted`. kDigestMismatch when the descriptor's
// size is not the blob's.
Result<Presence> presence(Database& database, const Layout& layout, const oci::Descriptor& blob,
                          const std::set<oci::Digest>& unwanted = {});
// Whether all that a manifest names is here or left out; of an index, the manifest that is its
// model.
Result<bool> complete(Database& database, const Layout& layout, const oci::Digest& document);

// A finished, verified, durable file that is to become a blob.
struct Arrival {
  oci::Descriptor blob;
  std::string file;                            // relative to the root; moved away when taken
  std::vector<oci::Descriptor> children = {};  // of a manifest or index
  std::optional<LinkedFile> link = {};
  std::set<oci::Digest> unwanted = {};  // of the children: those that need not be here
};
// True when the file was taken; false when the blob was here already (its row learns what is new).
// kConflict when a manifest names what is not here and not left out, now or before.
Result<bool> commit(Database& database, const Layout& layout, const Arrival& arrival);
// The row and edges alone, for a file that lies in its place (rebuild).
Status insert_row(Database& database, const oci::Descriptor& blob,
                  const std::vector<oci::Descriptor>& children, std::chrono::sys_seconds added);

Result<std::optional<LinkedFile>> find_link(Database& database, const oci::Digest& digest);
Status save_link(Database& database, const oci::Digest& digest, const LinkedFile& link);

Result<std::vector<oci::Digest>> children_of(Database& database, const oci::Digest& document);
// The children of a manifest that were not wanted when it came and are not here.
Result<std::set<oci::Digest>> left_out_of(Database& database, const oci::Digest& manifest);
// The manifest that a document stands for: itself; of an index the selected one, or the first that
// is here. nullopt when none is here or indexes nest absurdly.
Result<std::optional<oci::Digest>> model_of(Database& database, const oci::Digest& document);

std::chrono::sys_seconds now();
Result<oci::Digest> stored_digest(const std::string& text);  // kCorrupt when it is none

}  // namespace berth::store
