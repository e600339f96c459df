#include "store/survey.h"

#include <algorithm>
#include <map>
#include <set>

#include "oci/media_types.h"
#include "store/blobs.h"
#include "store/collector.h"
#include "store/index_view.h"
#include "store/models.h"
#include "store/rebuild.h"
#include "store/refs_log.h"
#include "store/session.h"

namespace berth::store {
namespace {

using Kind = Finding::Kind;

constexpr std::size_t kMaxIndex = 64 * 1024 * 1024;
constexpr std::string_view kSessionLock = "session-";

// Who needs a blob.
struct Need {
  std::vector<std::string> models;
  std::vector<oci::Reference> sources;
};
using Needs = std::map<oci::Digest, Need>;

Result<Needs> needs_of(Database& database) {
  Needs needs;
  TRY(const auto tags, list_tags(database));
  for (const TagRow& row : tags) {
    TRY(const auto below, closure(database, {row.target}));
    for (const oci::Digest& digest : below) {
      needs[digest].models.push_back(row.reference.string());
      needs[digest].sources.push_back(row.reference);
    }
  }
  TRY(const auto models, list_models(database));
  for (const Record& model : models) {
    if (!model.tags.empty()) continue;
    TRY(const auto below, closure(database, {model.id}));
    for (const oci::Digest& digest : below) needs[digest].models.push_back(model.id.string());
  }
  return needs;
}

Result<std::vector<oci::Descriptor>> all_rows(Database& database) {
  std::vector<oci::Descriptor> all;
  TRY(Rows rows, database.query("SELECT digest, size, media_type FROM blobs ORDER BY digest"));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return all;
    TRY(oci::Digest digest, stored_digest(rows.text(0)));
    all.push_back({.media_type = rows.text(2),
                   .digest = std::move(digest),
                   .size = static_cast<std::uint64_t>(rows.integer(1))});
  }
}

// What manifests name and the catalogue neither has a row of nor knows as left out.
Result<std::vector<oci::Descriptor>> rowless_children(Database& database) {
  std::vector<oci::Descriptor> all;
  TRY(Rows rows, database.query("SELECT e.child, MAX(e.size), p.media_type FROM edges e "
                                "JOIN blobs p ON p.digest = e.parent "
                                "LEFT JOIN blobs b ON b.digest = e.child WHERE b.digest IS NULL "
                                "AND NOT EXISTS (SELECT 1 FROM left_out l "
                                "WHERE l.parent = e.parent AND l.child = e.child) "
                                "GROUP BY e.child, p.media_type ORDER BY e.child"));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return all;
    // An index may name manifests of other platforms, which never came.
    if (oci::media::is_index(rows.text(2))) continue;
    TRY(oci::Digest digest, stored_digest(rows.text(0)));
    all.push_back(
        {.digest = std::move(digest), .size = static_cast<std::uint64_t>(rows.integer(1))});
  }
}

Result<std::map<oci::Digest, std::uint64_t>> edges_of(Database& database,
                                                      const oci::Digest& document) {
  std::map<oci::Digest, std::uint64_t> edges;
  TRY(Rows rows,
      database.query("SELECT child, size FROM edges WHERE parent = ?", document.string()));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return edges;
    TRY(oci::Digest child, stored_digest(rows.text(0)));
    edges.emplace(std::move(child), static_cast<std::uint64_t>(rows.integer(1)));
  }
}

bool is_document(const oci::Descriptor& blob) {
  return oci::media::is_manifest(blob.media_type) || oci::media::is_index(blob.media_type);
}

std::string as_user_sees(const Need& need) {
  std::string names;
  for (const std::string& model : need.models) names += (names.empty() ? "" : ", ") + model;
  return names;
}

Finding finding_of(Kind kind, const oci::Descriptor& blob, std::string message,
                   const Needs& needs) {
  Finding finding{.kind = kind, .what = blob.digest.string(), .blob = blob};
  const auto found = needs.find(blob.digest);
  finding.harmless = found == needs.end();
  finding.message =
      fmt::format("{}; {}", message,
                  finding.harmless ? "no model needs it"
                                   : fmt::format("needed by {}", as_user_sees(found->second)));
  if (finding.harmless) return finding;
  finding.models = found->second.models;
  finding.sources = found->second.sources;
  return finding;
}

class Survey {
 public:
  Survey(Database& database, const Layout& layout) : database_(database), layout_(layout) {}

  Result<Surveyed> run() {
    TRY_OK(check_database());
    TRY(needs_, needs_of(database_));
    TRY_OK(check_rows());
    TRY_OK(check_files());
    TRY_OK(check_names());
    // Who lives is found out by locks, which need files that can be written.
    if (layout_.access() == Layout::Access::kReadWrite) {
      TRY_OK(check_sessions());
      TRY_OK(check_ingests());
    }
    TRY_OK(check_log());
    TRY_OK(check_view());
    return std::move(result_);
  }

 private:
  void add(Kind kind, std::string what, std::string message, bool harmless = false) {
    result_.findings.push_back({.kind = kind,
                                .what = std::move(what),
                                .message = std::move(message),
                                .harmless = harmless});
  }
  void add(Kind kind, const oci::Descriptor& blob, std::string message) {
    result_.findings.push_back(finding_of(kind, blob, std::move(message), needs_));
  }

  Status check_database() {
    TRY(Rows rows, database_.query("PRAGMA integrity_check(5)"));
    for (;;) {
      TRY(const bool more, rows.next());
      if (!more) return {};
      if (rows.text(0) == "ok") continue;
      add(Kind::kCatalogue, std::string(kCatalogueFile),
          fmt::format("the catalogue is damaged ({}): stop what uses the store and move berth.db, "
                      "berth.db-wal and berth.db-shm away; it is rebuilt from the blobs",
                      printable(rows.text(0), 200)));
    }
  }

  Status check_rows() {
    TRY(const auto rows, all_rows(database_));
    for (const oci::Descriptor& row : rows) {
      known_.insert(row.digest);
      ++result_.blobs;
      result_.bytes += row.size;
      TRY_OK(check_row(row));
    }
    TRY(const auto rowless, rowless_children(database_));
    for (const oci::Descriptor& blob : rowless) {
      add(Kind::kMissing, blob, "a manifest names it and the catalogue does not know it");
    }
    return {};
  }

  Status check_row(const oci::Descriptor& row) {
    TRY(const auto info, layout_.find_blob(row.digest));
    if (!info || !info->is_regular) {
      add(Kind::kMissing, row, "its file is not there");
    } else if (info->size != row.size) {
      add(Kind::kWrongSize, row,
          fmt::format("its file has {} bytes instead of {}", info->size, row.size));
    } else if (is_document(row)) {
      return check_document(row);
    } else {
      result_.unread.push_back(row);
    }
    return {};
  }

  Status check_document(const oci::Descriptor& row) {
    const auto bytes =
        layout_.root().read_small(Layout::blob_name(row.digest), oci::kMaxManifestBytes);
    if (!bytes || oci::Digest::of(as_bytes(*bytes), row.digest.algorithm()) != row.digest) {
      add(Kind::kDamaged, row, "its bytes are not what its digest says");
      return {};
    }
    const auto below = oci::children(*bytes, row.media_type);
    if (!below) return {};  // verified when it came; what it says is not ours to judge here
    std::map<oci::Digest, std::uint64_t> said;
    for (const oci::Descriptor& child : *below) said[child.digest] = child.size;
    TRY(const auto edges, edges_of(database_, row.digest));
    if (said == edges) return {};
    Finding finding = finding_of(Kind::kRecord, row,
                                 "the catalogue does not say what this manifest names", needs_);
    result_.findings.push_back(std::move(finding));
    return {};
  }

  Status check_files() {
    TRY(const fs::Dir blobs, layout_.root().subdir("blobs"));
    TRY(const auto algorithms, blobs.list());
    for (const std::string& algorithm : algorithms) {
      const auto dir = blobs.subdir(algorithm);
      if (!dir) {
        foreign("blobs/" + algorithm);
        continue;
      }
      TRY(const auto names, dir->list());
      for (const std::string& name : names) check_file(algorithm, name);
    }
    TRY(const auto names, layout_.root().list());
    for (const std::string& name : names) {
      if (!Layout::is_own_name(name)) foreign(name);
    }
    return {};
  }

  void check_file(const std::string& algorithm, const std::string& name) {
    const auto digest = oci::Digest::parse(algorithm + ":" + name);
    if (!digest) return foreign("blobs/" + algorithm + "/" + name);
    if (known_.contains(*digest)) return;
    add(Kind::kUnlisted, digest->string(),
        "a file of this name lies among the blobs and the catalogue does not know it; prune takes "
        "it when it is an hour old",
        true);
  }

  void foreign(const std::string& path) {
    add(Kind::kForeign, path, "Berth did not make this file and leaves it alone", true);
  }

  Status check_names() {
    TRY(const auto tags, list_tags(database_));
    for (const TagRow& row : tags) TRY_OK(check_name(row.reference.string(), row.target));
    TRY(const auto models, list_models(database_));
    for (const Record& model : models) {
      if (model.tags.empty()) TRY_OK(check_name(model.id.string(), model.id));
    }
    return {};
  }

  Status check_name(const std::string& name, const oci::Digest& target) {
    TRY(const bool whole, complete(database_, layout_, target));
    if (!whole) {
      add(Kind::kTag, name,
          "the model is damaged: something that it needs is missing or has the wrong size");
    }
    return {};
  }

  Status check_sessions() {
    TRY(const fs::Dir locks, layout_.root().subdir("locks"));
    TRY(const auto names, locks.list());
    std::set<std::string> ids;
    for (const std::string& name : names) {
      if (name.starts_with(kSessionLock)) ids.insert(name.substr(kSessionLock.size()));
    }
    TRY(Rows rows, database_.query("SELECT id FROM sessions"));
    for (;;) {
      TRY(const bool more, rows.next());
      if (!more) break;
      ids.insert(rows.text(0));
    }
    for (const std::string& id : ids) {
      TRY(const bool alive, is_alive(layout_, id));
      if (!alive) {
        add(Kind::kSession, id, "a process died and left its leases, which protect nothing", true);
      }
    }
    return {};
  }

  Status check_ingests() {
    TRY(const Freed left, collect_ingests(layout_, std::chrono::seconds(0), DryRun::kYes));
    for (const std::string& name : left.ingests) {
      add(Kind::kIngest, name,
          "an unfinished transfer that nobody works on: pull again to go on, or prune", true);
    }
    return {};
  }

  Status check_log() {
    TRY(const RefMoves log, read_moves(layout_.root()));
    if (log.damaged_lines > 0) {
      add(Kind::kLog, std::string(kRefsLogFile),
          fmt::format("{} lines of the log of tags are damaged", log.damaged_lines));
    }
    return {};
  }

  // A store that was never told to write one has none.
  Status check_view() {
    TRY(const auto found, layout_.root().find("index.json"));
    if (!found) return {};
    TRY(const std::string should, make_index_view(database_));
    const auto is = layout_.root().read_small("index.json", kMaxIndex);
    if (!is || *is != should) {
      add(Kind::kIndex, "index.json", "the list of models for other tools is old or damaged");
    }
    return {};
  }

  Database& database_;
  const Layout& layout_;
  Needs needs_;
  std::set<oci::Digest> known_;
  Surveyed result_;
};

}  // namespace

std::string_view to_string(Finding::Kind kind) {
  constexpr std::string_view kNames[] = {"missing",  "wrong_size", "damaged", "record",
                                         "tag",      "log",        "index",   "catalogue",
                                         "unlisted", "foreign",    "session", "ingest"};
  return kNames[static_cast<std::size_t>(kind)];
}

Result<Surveyed> survey(Database& database, const Layout& layout) {
  return Survey(database, layout).run();
}

Result<Finding> blob_finding(Database& database, Finding::Kind kind, const oci::Descriptor& blob,
                             std::string message) {
  TRY(const Needs needs, needs_of(database));
  return finding_of(kind, blob, std::move(message), needs);
}

}  // namespace berth::store
