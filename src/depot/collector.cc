#include "depot/collector.h"

#include <algorithm>
#include <span>

#include "base/failpoint.h"
#include "crypto/hash.h"
#include "depot/local_blobs.h"
#include "rt/async.h"
#include "store/collector.h"

namespace berth::depot {
namespace {

// One transaction takes this many at most, so that pushes never wait long.
constexpr std::size_t kAtOnce = 500;

struct Member {
  std::int64_t repository = 0;
  std::string repository_name;
  std::string digest;
};

// Blobs that no manifest of their repository names, and nobody asked for lately.
Result<std::vector<Member>> unused_members(Database& database, std::int64_t before,
                                           std::int64_t most) {
  std::vector<Member> found;
  TRY(Rows rows,
      database.query("SELECT m.repository, r.name, m.digest FROM members m "
                     "JOIN repositories r ON r.id = m.repository WHERE m.added < ? AND NOT EXISTS("
                     "SELECT 1 FROM edges e JOIN manifests f ON f.digest = e.parent "
                     "AND f.repository = m.repository WHERE e.child = m.digest) LIMIT ?",
                     before, most));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back(
        {.repository = rows.integer(0), .repository_name = rows.text(1), .digest = rows.text(2)});
  }
}

Result<std::vector<StoredBlob>> orphans(Database& database, std::int64_t most) {
  TRY(Rows rows,
      database.query("SELECT digest, size FROM blobs b WHERE "
                     "NOT EXISTS(SELECT 1 FROM members m WHERE m.digest = b.digest) AND "
                     "NOT EXISTS(SELECT 1 FROM manifests f WHERE f.digest = b.digest) LIMIT ?",
                     most));
  return stored_blobs(std::move(rows));
}

// Files without a row that have had their name for a while.
Result<std::vector<oci::Digest>> strays_among(Database& database, const store::Layout& layout,
                                              std::span<const oci::Digest> files,
                                              std::chrono::seconds older_than) {
  std::vector<oci::Digest> strays;
  for (const oci::Digest& file : files) {
    TRY(const auto row, store::find_row(database, file));
    if (row) continue;
    TRY(const auto info, layout.find_blob(file));
    if (!info) continue;
    const auto named =
        std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds(info->ctime_ns));
    if (std::chrono::seconds(seconds_now()) - named >= older_than) strays.push_back(file);
  }
  return strays;
}

// What a collection would free: also what only members that it hides still hold.
Result<Collected> would_free(Database& database, std::int64_t before) {
  TRY(Rows rows,
      database.query("SELECT count(*), COALESCE(sum(b.size), 0) FROM blobs b WHERE "
                     "NOT EXISTS(SELECT 1 FROM manifests f WHERE f.digest = b.digest) AND "
                     "NOT EXISTS(SELECT 1 FROM members m WHERE m.digest = b.digest AND (m.added >= "
                     "? OR EXISTS("
                     "SELECT 1 FROM edges e JOIN manifests f ON f.digest = e.parent "
                     "AND f.repository = m.repository WHERE e.child = m.digest)))",
                     before));
  TRY_OK(rows.next());
  return Collected{.blobs = static_cast<std::uint64_t>(rows.integer(0)),
                   .bytes = static_cast<std::uint64_t>(rows.integer(1))};
}

}  // namespace

rt::Task<Result<Collected>> Collector::collect(rt::Op& op, CollectOptions options) {
  const std::int64_t before = seconds_now() - options.grace.count();
  if (options.dry_run) co_return co_await rehearse(op, before);
  Collected sum;
  for (bool more = true; more;) {
    CO_TRY(const std::uint64_t members, co_await hide_unused(op, before));
    CO_TRY(const Collected freed, co_await free_orphans(op));
    sum.members += members;
    sum.blobs += freed.blobs;
    sum.bytes += freed.bytes;
    more = members == kAtOnce || freed.blobs == kAtOnce;
  }
  CO_TRY_OK(co_await verifier_.tidy(op));
  co_return sum;
}

rt::Task<Result<Collected>> Collector::rehearse(rt::Op& op, std::int64_t before) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<Collected> {
    TRY(const auto members, unused_members(database, before, -1));
    TRY(Collected would, would_free(database, before));
    would.members = members.size();
    return would;
  });
}

rt::Task<Result<std::uint64_t>> Collector::hide_unused(rt::Op& op, std::int64_t before) {
  std::vector<Member> members;
  CO_TRY_OK(co_await shelf_.record(op, [&](Database& database) -> Status {
    TRY(members, unused_members(database, before, kAtOnce));
    for (const Member& member : members) {
      TRY_OK(database.run("DELETE FROM members WHERE repository = ? AND digest = ?",
                          member.repository, member.digest));
    }
    return {};
  }));
  // Whoever was told that a blob is here may be about to push the manifest that names it.
  std::vector<Member> wanted;
  for (const Member& member : members) {
    const std::string key = Shelf::key(member.repository_name, member.digest);
    shelf_.blobs.erase(key);
    const std::int64_t* asked = shelf_.asked.find(key);
    if (asked != nullptr && *asked >= before) wanted.push_back(member);
  }
  if (!wanted.empty()) {
    CO_TRY_OK(co_await shelf_.record(op, [&](Database& database) -> Status {
      for (const Member& member : wanted) {
        TRY(const oci::Digest digest, store::stored_digest(member.digest));
        TRY_OK(add_member(database, member.repository, digest));
      }
      return {};
    }));
  }
  co_return members.size() - wanted.size();
}

rt::Task<Result<Collected>> Collector::free_orphans(rt::Op& op) {
  std::vector<StoredBlob> gone;
  CO_TRY_OK(co_await shelf_.record(op, [&](Database& database) -> Status {
    TRY(gone, orphans(database, kAtOnce));
    for (const StoredBlob& orphan : gone)
      TRY_OK(database.run("DELETE FROM blobs WHERE digest = ?", orphan.digest.string()));
    return {};
  }));
  Collected freed{.blobs = gone.size()};
  std::vector<oci::Digest> files;
  for (const StoredBlob& orphan : gone) {
    files.push_back(orphan.digest);
    freed.bytes += orphan.size;
  }
  if (files.empty()) co_return freed;
  BERTH_FAILPOINT("depot.collect.after_rows");
  CO_TRY_OK(co_await bury(op, std::move(files)));
  co_return freed;
}

rt::Task<Status> Collector::bury(rt::Op& op, std::vector<oci::Digest> files) {
  const std::string trash = fmt::format("{}/trash-{}", store::kIngestFolder, crypto::random_hex(8));
  CO_TRY_OK(co_await rt::blocking(shelf_.loop(), [&]() -> Status {
    TRY_OK(of_disk(shelf_.root().make_subdir(trash)));
    return {};
  }));
  CO_TRY_OK(co_await shelf_.record(op, [&](Database& database) {
    return store::bury(database, shelf_.layout(), files, trash);
  }));
  co_return co_await rt::blocking(shelf_.loop(),
                                  [&] { return of_disk(shelf_.root().remove_tree(trash)); });
}

rt::Task<Result<Collected>> Collector::collect_strays(rt::Op& op, std::chrono::seconds older_than) {
  CO_TRY(const auto files,
         co_await rt::blocking(shelf_.loop(), [this] { return shelf_.layout().list_blobs(); }));
  Collected freed;
  for (std::size_t at = 0; at < files.size(); at += kAtOnce) {
    const auto some = std::span(files).subspan(at, std::min(kAtOnce, files.size() - at));
    CO_TRY(auto strays, co_await shelf_.read(op, [&](Database& database) {
      return strays_among(database, shelf_.layout(), some, older_than);
    }));
    if (strays.empty()) continue;
    freed.blobs += strays.size();
    CO_TRY_OK(co_await bury(op, std::move(strays)));
  }
  co_return freed;
}

}  // namespace berth::depot
