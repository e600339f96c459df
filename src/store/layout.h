// The folder of a store: where each file lies, and the steps on files that several parts share.
//
// Blocking, immutable after open, safe to use from several threads at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fs/file.h"
#include "oci/digest.h"
#include "store/records.h"

namespace berth::store {

inline constexpr std::string_view kCatalogueFile = "berth.db";
inline constexpr std::string_view kRefsLogFile = "refs.log";
inline constexpr std::string_view kIngestFolder = "ingest";

// What messages call the folder, and what says which one it is.
struct FolderNames {
  std::string_view kind = "store";
  std::string_view chosen_with = "BERTH_HOME";
};

class Layout {
 public:
  enum class Access { kReadWrite, kReadOnly };
  // Makes what is missing, unless read-only. kInvalid when the folder is another kind of layout.
  static Result<Layout> open(const std::string& root, Access access, FolderNames names = {});

  const fs::Dir& root() const { return root_; }
  Access access() const { return access_; }
  const FolderNames& names() const { return names_; }
  // "blobs/sha256/<hex>", relative to the root.
  static std::string blob_name(const oci::Digest& digest) { return "blobs/" + digest.path(); }
  // "ingest/sha256-<hex>".
  static std::string ingest_name(const oci::Digest& digest);
  // The digest that an ingest is for; nullopt for one whose digest is not known yet, and for trash.
  static std::optional<oci::Digest> ingest_digest(std::string_view folder);
  // Whether a store may hold this name at its top: remains of one, or what another process is just
  // making.
  static bool is_own_name(std::string_view name);

  Result<std::optional<fs::FileInfo>> find_blob(const oci::Digest& digest) const;
  Result<std::vector<oci::Digest>> list_blobs() const;
  // Gives a finished file its final name (replacing what was not trusted), read-only.
  Status publish(const std::string& file, const oci::Digest& digest) const;
  Status sync_blobs(const oci::Digest& digest) const;

  // Every regular file below a folder of the root.
  DiskUse disk_use(std::string_view folder) const;
  // Every byte below the root, by what it is for.
  Result<Usage> usage() const;

 private:
  Layout(fs::Dir root, Access access, FolderNames names)
      : root_(std::move(root)), access_(access), names_(names) {}
  fs::Dir root_;
  Access access_;
  FolderNames names_;
};

}  // namespace berth::store
