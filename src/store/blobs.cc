#include "store/blobs.h"

#include <algorithm>

#include "base/failpoint.h"
#include "oci/media_types.h"

namespace berth::store {
namespace {

constexpr int kMaxIndexDepth = 8;  // an index in an index in …: real ones nest twice

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

bool is_document(std::string_view media_type) {
  return oci::media::is_manifest(media_type) || oci::media::is_index(media_type);
}

Result<bool> file_is_here(const Layout& layout, const oci::Digest& digest, std::uint64_t size) {
  TRY(const auto info, layout.find_blob(digest));
  return info && info->is_regular && info->size == size;
}

Result<bool> is_left_out(Database& database, const oci::Digest& manifest,
                         const oci::Digest& child) {
  TRY(Rows rows, database.query("SELECT 1 FROM left_out WHERE parent = ? AND child = ?",
                                manifest.string(), child.string()));
  return rows.next();
}

Status check_child(Database& database, const Layout& layout, const Arrival& arrival,
                   const oci::Descriptor& child) {
  // An index may name manifests of other platforms, which are not fetched.
  if (oci::media::is_index(arrival.blob.media_type)) return {};
  TRY(const auto row, find_row(database, child.digest));
  if (row && row->size != child.size) {
    return fail(Code::kInvalid, "the manifest {} says that {} has {} bytes, but it has {}",
                arrival.blob.digest.short_hex(), child.digest.string(), child.size, row->size);
  }
  bool here = false;
  if (row) {
    TRY(here, file_is_here(layout, child.digest, child.size));
  }
  if (here || arrival.unwanted.contains(child.digest)) return {};
  TRY(const bool left_out, is_left_out(database, arrival.blob.digest, child.digest));
  if (left_out) return {};
  return fail(Code::kConflict,
              "the manifest {} names {} ({}), which is not in the store: transfer it first",
              arrival.blob.digest.short_hex(), child.digest.string(),
              printable(child.media_type, 80));
}

Status write_edges(Database& database, const oci::Digest& parent,
                   const std::vector<oci::Descriptor>& children) {
  for (const oci::Descriptor& child : children) {
    TRY_OK(database.run("INSERT OR REPLACE INTO edges(parent, child, size) VALUES(?, ?, ?)",
                        parent.string(), child.digest.string(), signed_of(child.size)));
  }
  return {};
}

// Of what was not wanted only that which is not here anyway.
Status write_left_out(Database& database, const Layout& layout, const Arrival& arrival) {
  for (const oci::Descriptor& child : arrival.children) {
    if (!arrival.unwanted.contains(child.digest)) continue;
    TRY(const auto row, find_row(database, child.digest));
    bool here = false;
    if (row) {
      TRY(here, file_is_here(layout, child.digest, child.size));
    }
    if (here) continue;
    TRY_OK(database.run("INSERT OR IGNORE INTO left_out(parent, child) VALUES(?, ?)",
                        arrival.blob.digest.string(), child.digest.string()));
  }
  return {};
}

// A blob that came as plain bytes first may turn out to be a manifest.
Status learn(Database& database, const Arrival& arrival) {
  if (!is_document(arrival.blob.media_type)) return {};
  TRY_OK(database.run(
      "UPDATE blobs SET media_type = ?, document = 1 WHERE digest = ? AND document = 0",
      arrival.blob.media_type, arrival.blob.digest.string()));
  return write_edges(database, arrival.blob.digest, arrival.children);
}

Result<bool> children_are_here(Database& database, const Layout& layout,
                               const oci::Digest& manifest) {
  TRY(Rows rows,
      database.query("SELECT e.child, e.size, b.digest FROM edges e "
                     "LEFT JOIN blobs b ON b.digest = e.child WHERE e.parent = ? AND NOT EXISTS "
                     "(SELECT 1 FROM left_out l WHERE l.parent = e.parent AND l.child = e.child)",
                     manifest.string()));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return true;
    if (rows.is_null(2)) return false;
    TRY(const oci::Digest child, stored_digest(rows.text(0)));
    TRY(const bool here, file_is_here(layout, child, static_cast<std::uint64_t>(rows.integer(1))));
    if (!here) return false;
  }
}

Result<std::optional<oci::Digest>> selected(Database& database, const oci::Digest& index) {
  TRY(Rows rows,
      database.query(
          "SELECT model FROM selections s JOIN blobs b ON b.digest = s.model WHERE s.target = ? "
          "UNION ALL SELECT e.child FROM edges e JOIN blobs b ON b.digest = e.child "
          "WHERE e.parent = ? AND b.document LIMIT 1",
          index.string(), index.string()));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  TRY(oci::Digest model, stored_digest(rows.text(0)));
  return model;
}

// Moving the file into its place has changed its ctime, and only that.
Status record_link(Database& database, const Layout& layout, const Arrival& arrival) {
  LinkedFile link = *arrival.link;
  TRY(const auto info, layout.find_blob(arrival.blob.digest));
  if (info && info->size == link.size && info->mtime_ns == link.mtime_ns)
    link.ctime_ns = info->ctime_ns;
  return save_link(database, arrival.blob.digest, link);
}

// Whether the blob that lies here is to be kept: an own copy replaces a link, which its owner may
// still change.
Result<bool> keeps_old(Database& database, const Layout& layout, const Arrival& arrival) {
  TRY(const auto row, find_row(database, arrival.blob.digest));
  if (!row || row->size != arrival.blob.size) return false;
  TRY(const bool here, file_is_here(layout, arrival.blob.digest, row->size));
  if (!here) return false;
  TRY(const auto link, find_link(database, arrival.blob.digest));
  return !link;
}

}  // namespace

LinkedFile linked_file(std::string path, const fs::FileInfo& info) {
  return {.path = std::move(path),
          .size = info.size,
          .mtime_ns = info.mtime_ns,
          .ctime_ns = info.ctime_ns,
          .inode = info.inode,
          .device = info.device};
}

bool unchanged(const LinkedFile& recorded, const fs::FileInfo& now) {
  return recorded.size == now.size && recorded.mtime_ns == now.mtime_ns &&
         recorded.ctime_ns == now.ctime_ns && recorded.inode == now.inode &&
         recorded.device == now.device;
}

std::chrono::sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

Result<oci::Digest> stored_digest(const std::string& text) {
  auto digest = oci::Digest::parse(text);
  if (digest) return digest;
  return fail(
      Code::kCorrupt,
      "the catalogue holds \"{}\" where a digest should be, so it is damaged: a store's "
      "berth.db is rebuilt when it is moved away, a registry's registry.db has to come from "
      "a backup",
      printable(text, 80));
}

Result<std::optional<BlobRow>> find_row(Database& database, const oci::Digest& digest) {
  TRY(Rows rows, database.query("SELECT size, media_type, document FROM blobs WHERE digest = ?",
                                digest.string()));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  return BlobRow{.size = static_cast<std::uint64_t>(rows.integer(0)),
                 .media_type = rows.text(1),
                 .document = rows.integer(2) != 0};
}

Result<Presence> presence(Database& database, const Layout& layout, const oci::Descriptor& blob,
                          const std::set<oci::Digest>& unwanted) {
  TRY(const auto row, find_row(database, blob.digest));
  if (!row || (is_document(blob.media_type) && !row->document)) return Presence::kAbsent;
  if (row->size != blob.size) {
    return fail(Code::kDigestMismatch, "{} has {} bytes, not the {} that are said of it",
                blob.digest.string(), row->size, blob.size);
  }
  TRY(const auto info, layout.find_blob(blob.digest));
  if (!info || !info->is_regular) return Presence::kAbsent;
  if (oci::media::is_manifest(blob.media_type)) {
    TRY(const bool whole, complete(database, layout, blob.digest));
    TRY(const auto left_out, left_out_of(database, blob.digest));
    if (!whole || !std::ranges::includes(unwanted, left_out)) return Presence::kAbsent;
  }
  TRY(const auto link, find_link(database, blob.digest));
  if (link) return unchanged(*link, *info) ? Presence::kHere : Presence::kSuspect;
  return info->size == row->size ? Presence::kHere : Presence::kAbsent;
}

Result<bool> complete(Database& database, const Layout& layout, const oci::Digest& document) {
  TRY(const auto row, find_row(database, document));
  if (!row || !row->document) return false;
  TRY(const bool here, file_is_here(layout, document, row->size));
  if (!here) return false;
  TRY(const auto model, model_of(database, document));
  if (!model) return false;
  return *model == document ? children_are_here(database, layout, document)
                            : complete(database, layout, *model);
}

Status insert_row(Database& database, const oci::Descriptor& blob,
                  const std::vector<oci::Descriptor>& children, std::chrono::sys_seconds added) {
  TRY_OK(database.run(
      "INSERT INTO blobs(digest, size, media_type, document, added) VALUES(?, ?, ?, ?, ?) "
      "ON CONFLICT(digest) DO UPDATE SET size = excluded.size, "
      "media_type = CASE WHEN document THEN media_type ELSE excluded.media_type END, "
      "document = MAX(document, excluded.document)",
      blob.digest.string(), signed_of(blob.size), blob.media_type,
      std::int64_t{is_document(blob.media_type)},
      static_cast<std::int64_t>(added.time_since_epoch().count())));
  TRY_OK(database.run("DELETE FROM left_out WHERE child = ?", blob.digest.string()));
  return write_edges(database, blob.digest, children);
}

Result<bool> commit(Database& database, const Layout& layout, const Arrival& arrival) {
  for (const oci::Descriptor& child : arrival.children) {
    TRY_OK(check_child(database, layout, arrival, child));
  }
  TRY(const bool keep, keeps_old(database, layout, arrival));
  if (keep) {
    TRY_OK(learn(database, arrival));
    TRY_OK(write_left_out(database, layout, arrival));
    return false;
  }
  BERTH_FAILPOINT("store.commit.before_rename");
  TRY_OK(layout.publish(arrival.file, arrival.blob.digest));
  BERTH_FAILPOINT("store.commit.after_rename");
  TRY_OK(insert_row(database, arrival.blob, arrival.children, now()));
  TRY_OK(write_left_out(database, layout, arrival));
  TRY_OK(database.run("DELETE FROM links WHERE digest = ?", arrival.blob.digest.string()));
  if (arrival.link) TRY_OK(record_link(database, layout, arrival));
  return true;
}

Result<std::optional<LinkedFile>> find_link(Database& database, const oci::Digest& digest) {
  TRY(Rows rows,
      database.query(
          "SELECT path, size, mtime_ns, ctime_ns, inode, device FROM links WHERE digest = ?",
          digest.string()));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  return LinkedFile{.path = rows.text(0),
                    .size = static_cast<std::uint64_t>(rows.integer(1)),
                    .mtime_ns = rows.integer(2),
                    .ctime_ns = rows.integer(3),
                    .inode = static_cast<std::uint64_t>(rows.integer(4)),
                    .device = static_cast<std::uint64_t>(rows.integer(5))};
}

Status save_link(Database& database, const oci::Digest& digest, const LinkedFile& link) {
  return database.run(
      "INSERT OR REPLACE INTO links(digest, path, size, mtime_ns, ctime_ns, inode, device) "
      "VALUES(?, ?, ?, ?, ?, ?, ?)",
      digest.string(), link.path, signed_of(link.size), link.mtime_ns, link.ctime_ns,
      signed_of(link.inode), signed_of(link.device));
}

Result<std::vector<oci::Digest>> children_of(Database& database, const oci::Digest& document) {
  std::vector<oci::Digest> children;
  TRY(Rows rows, database.query("SELECT child FROM edges WHERE parent = ?", document.string()));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return children;
    TRY(oci::Digest child, stored_digest(rows.text(0)));
    children.push_back(std::move(child));
  }
}

Result<std::set<oci::Digest>> left_out_of(Database& database, const oci::Digest& manifest) {
  std::set<oci::Digest> children;
  TRY(Rows rows, database.query("SELECT child FROM left_out WHERE parent = ?", manifest.string()));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return children;
    TRY(oci::Digest child, stored_digest(rows.text(0)));
    children.insert(std::move(child));
  }
}

Result<std::optional<oci::Digest>> model_of(Database& database, const oci::Digest& document) {
  oci::Digest at = document;
  for (int depth = 0; depth < kMaxIndexDepth; ++depth) {
    TRY(const auto row, find_row(database, at));
    if (!row || !row->document) return std::nullopt;
    if (!oci::media::is_index(row->media_type)) return at;
    TRY(auto next, selected(database, at));
    if (!next) return std::nullopt;
    at = std::move(*next);
  }
  return std::nullopt;
}

}  // namespace berth::store
