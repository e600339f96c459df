#include "store/collector.h"

#include "base/failpoint.h"
#include "store/blobs.h"
#include "store/digest_lock.h"
#include "store/session.h"

namespace berth::store {
namespace {

// Files without a row that are younger may be another tool's that is still writing.
constexpr auto kOrphanAge = std::chrono::hours(1);

Result<std::set<oci::Digest>> digest_set(Rows rows) {
  std::set<oci::Digest> result;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return result;
    TRY(oci::Digest digest, stored_digest(rows.text(0)));
    result.insert(std::move(digest));
  }
}

Result<std::set<oci::Digest>> live_blobs(Database& database) {
  TRY(Rows rows,
      database.query("WITH RECURSIVE live(digest) AS ("
                     "SELECT id FROM models UNION SELECT target FROM tags "
                     "UNION SELECT digest FROM holds "
                     "UNION SELECT e.child FROM edges e JOIN live l ON e.parent = l.digest "
                     "WHERE NOT EXISTS "
                     "(SELECT 1 FROM left_out o WHERE o.parent = e.parent AND o.child = e.child)) "
                     "SELECT digest FROM live"));
  return digest_set(std::move(rows));
}

std::chrono::seconds age(const fs::FileInfo& info) {
  const auto modified = std::chrono::nanoseconds(info.mtime_ns);
  return std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch() - modified);
}

Result<std::set<oci::Digest>> everything(Database& database, const Layout& layout) {
  TRY(Rows rows, database.query("SELECT digest FROM blobs"));
  TRY(auto all, digest_set(std::move(rows)));
  TRY(const auto files, layout.list_blobs());
  for (const oci::Digest& file : files) {
    if (all.contains(file)) continue;
    TRY(const auto info, layout.find_blob(file));
    if (info && age(*info) >= kOrphanAge) all.insert(file);
  }
  return all;
}

std::uint64_t space(const std::optional<fs::FileInfo>& info) {
  return info && info->links <= 1 ? info->blocks * 512 : 0;
}

struct IngestFolder {
  std::string name;
  std::optional<DigestLock> lock;  // held while it is removed
};

// nullopt when somebody works on it, or it is too fresh.
Result<std::optional<IngestFolder>> abandoned(const Layout& layout, const std::string& name,
                                              std::chrono::seconds older_than) {
  const std::string path = fmt::format("{}/{}", kIngestFolder, name);
  TRY(const auto data, layout.root().find(path + "/data"));
  if (const auto digest = Layout::ingest_digest(name)) {
    if (data && age(*data) < older_than) return std::nullopt;
    TRY(auto lock, DigestLock::try_acquire(layout.root(), *digest));
    if (!lock) return std::nullopt;
    return IngestFolder{.name = name, .lock = std::move(lock)};
  }
  // "new-<session>-<n>" and "trash-<session>-<n>": nobody continues these when their process is
  // gone.
  const std::vector<std::string> part = split(name, '-');
  if (part.size() == 3) {
    TRY(const bool alive, is_alive(layout, part[1]));
    if (alive) return std::nullopt;
  }
  return IngestFolder{.name = name, .lock = std::nullopt};
}

// What a process that died while it rewrote a small file left. Whoever writes index.json holds the
// lock; of the others one that is old has no writer any more.
Status collect_half_files(const Layout& layout, DryRun dry_run, Freed& freed) {
  TRY(const auto lock,
      fs::Lock::try_acquire(layout.root(), "locks/index", fs::Lock::Mode::kExclusive));
  if (!lock) return {};
  TRY(const auto names, layout.root().list());
  for (const std::string& name : names) {
    if (!name.starts_with('.') || name.find(".new.") == std::string::npos) continue;
    TRY(const auto info, layout.root().find(name));
    if (!info || (!name.starts_with(".index.json.") && age(*info) < kOrphanAge)) continue;
    freed.bytes += space(info);
    freed.ingests.push_back(name);
    if (dry_run == DryRun::kNo) TRY_OK(layout.root().remove(name));
  }
  return {};
}

}  // namespace

Result<std::set<oci::Digest>> closure(Database& database, const std::vector<oci::Digest>& roots) {
  std::set<oci::Digest> all;
  std::vector<oci::Digest> open = roots;
  while (!open.empty()) {
    const oci::Digest at = std::move(open.back());
    open.pop_back();
    if (!all.insert(at).second) continue;
    TRY(auto below, children_of(database, at));
    open.insert(open.end(), below.begin(), below.end());
  }
  return all;
}

Result<Freed> collect(Database& database, const Layout& layout,
                      const std::optional<std::set<oci::Digest>>& candidates, DryRun dry_run) {
  Freed freed;
  TRY_OK(bury_dead_sessions(database, layout));
  TRY(const auto live, live_blobs(database));
  TRY(const auto all,
      candidates ? Result<std::set<oci::Digest>>(*candidates) : everything(database, layout));
  for (const oci::Digest& digest : all) {
    if (live.contains(digest)) continue;
    TRY(const auto row, find_row(database, digest));
    TRY(const auto info, layout.find_blob(digest));
    if (!row && !info) continue;  // an index may name what never came here
    if (dry_run == DryRun::kNo)
      TRY_OK(database.run("DELETE FROM blobs WHERE digest = ?", digest.string()));
    freed.blobs.push_back(digest);
    freed.bytes += space(info);
  }
  return freed;
}

Status bury(Database& database, const Layout& layout, const std::vector<oci::Digest>& blobs,
            const std::string& trash) {
  for (const oci::Digest& digest : blobs) {
    TRY(const auto row, find_row(database, digest));
    TRY(const auto info, layout.find_blob(digest));
    if (row || !info) continue;
    BERTH_FAILPOINT("store.collect.before_rename");
    TRY_OK(
        layout.root().rename(Layout::blob_name(digest), fmt::format("{}/{}", trash, digest.hex())));
    BERTH_FAILPOINT("store.collect.after_rename");
  }
  return {};
}

Result<Freed> collect_ingests(const Layout& layout, std::chrono::seconds older_than,
                              DryRun dry_run) {
  Freed freed;
  TRY(const fs::Dir dir, layout.root().subdir(kIngestFolder));
  TRY(const auto names, dir.list());
  for (const std::string& name : names) {
    TRY(const auto folder, abandoned(layout, name, older_than));
    if (!folder) continue;
    freed.bytes += layout.disk_use(fmt::format("{}/{}", kIngestFolder, name)).allocated;
    const auto digest = Layout::ingest_digest(name);
    freed.ingests.push_back(digest ? digest->string() : name);
    BERTH_FAILPOINT("store.collect.before_ingest");
    if (dry_run == DryRun::kNo) TRY_OK(dir.remove_tree(name));
  }
  TRY_OK(collect_half_files(layout, dry_run, freed));
  return freed;
}

}  // namespace berth::store
