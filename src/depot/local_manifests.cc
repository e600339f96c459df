#include "depot/local_manifests.h"

#include "base/log.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "rt/async.h"

namespace berth::depot {
namespace {

// Seconds: for retention it is enough to know by the hour when a manifest was last pulled.
constexpr std::int64_t kPullNoted = 3600;
constexpr std::size_t kMostBytes = std::size_t{64} << 20;  // whatever the HTTP side let in

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Result<std::string> tagged(Database& database, std::int64_t repository, const std::string& tag) {
  TRY(Rows rows,
      database.query("SELECT digest FROM tags WHERE repository = ? AND tag = ?", repository, tag));
  TRY(const bool found, rows.next());
  return found ? rows.text(0) : std::string();
}

Status note_move(Database& database, std::int64_t repository, const std::string& tag,
                 const std::string& before, const std::string& after, const std::string& actor) {
  return database.run(
      "INSERT INTO tag_moves(repository, tag, before, after, at, actor) "
      "VALUES(?, ?, ?, ?, ?, ?)",
      repository, tag, before, after, seconds_now(), actor);
}

// What the tag stood for before; "" for nothing.
Result<std::string> move_tag(Database& database, std::int64_t repository, const std::string& tag,
                             const std::string& digest, const std::string& actor) {
  TRY(std::string before, tagged(database, repository, tag));
  if (before == digest) return before;
  TRY_OK(
      database.run("INSERT OR REPLACE INTO tags(repository, tag, digest, moved) "
                   "VALUES(?, ?, ?, ?)",
                   repository, tag, digest, seconds_now()));
  TRY_OK(note_move(database, repository, tag, before, digest, actor));
  return before;
}

// Whether the repository shows it, as a blob or as a manifest.
Result<bool> shows(Database& database, std::int64_t repository, const oci::Digest& digest) {
  TRY(Rows rows, database.query("SELECT 1 FROM members WHERE repository = ?1 AND digest = ?2 "
                                "UNION ALL "
                                "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2",
                                repository, digest.string()));
  return rows.next();
}

Status write_edges(Database& database, const PushedManifest& pushed) {
  for (const oci::Descriptor& child : pushed.children) {
    TRY_OK(database.run("INSERT OR REPLACE INTO edges(parent, child, size) VALUES(?, ?, ?)",
                        pushed.manifest.digest.string(), child.digest.string(),
                        signed_of(child.size)));
  }
  return {};
}

Result<std::vector<oci::Digest>> missing_children(Database& database, std::int64_t repository,
                                                  const PushedManifest& pushed) {
  std::vector<oci::Digest> missing;
  for (const oci::Descriptor& child : pushed.children) {
    TRY(const bool here, shows(database, repository, child.digest));
    if (!here) missing.push_back(child.digest);
  }
  return missing;
}

// It comes anew when it was here: looked at again, with another place in time.
Status write_row(Database& database, std::int64_t repository, const PushedManifest& pushed) {
  const std::string& digest = pushed.manifest.digest.string();
  TRY_OK(database.run("DELETE FROM manifests WHERE repository = ? AND digest = ?", repository,
                      digest));
  return database.run(
      "INSERT INTO manifests(repository, digest, media_type, artifact_type, subject, descriptor, "
      "looked_at, added, pulled) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
      repository, digest, pushed.manifest.media_type, pushed.artifact_type,
      pushed.subject ? pushed.subject->string() : std::string(), pushed.referrer,
      std::int64_t{pushed.looked_at}, seconds_now(), std::int64_t{0});
}

Result<bool> has_manifest(Database& database, const std::string& repository,
                          const std::string& digest) {
  TRY(Rows rows, database.query("SELECT 1 FROM repositories r JOIN manifests m "
                                "ON m.repository = r.id AND m.digest = ? WHERE r.name = ?",
                                digest, repository));
  return rows.next();
}

Event push_event(const std::string& repository, const PushedManifest& pushed) {
  return {.kind = Event::Kind::kPush,
          .repository = repository,
          .digest = pushed.manifest.digest.string(),
          .media_type = pushed.manifest.media_type,
          .size = pushed.manifest.bytes.size(),
          .origin = pushed.origin};
}

Status write_manifest(Database& database, const Quotas& quotas, const Outbox& outbox,
                      const std::string& repository, const PushedManifest& pushed,
                      std::vector<oci::Digest>& missing) {
  const std::string& digest = pushed.manifest.digest.string();
  if (!quotas.none()) {
    TRY(const bool here, has_manifest(database, repository, digest));
    if (!here) TRY_OK(quotas.check(database, repository, pushed.manifest.bytes.size()));
  }
  TRY(const std::int64_t id, make_repository(database, repository));
  TRY_OK(quotas.enter(database, id, repository));
  TRY_OK(write_row(database, id, pushed));
  TRY_OK(write_edges(database, pushed));
  Event event = push_event(repository, pushed);
  if (pushed.tags.empty()) TRY_OK(outbox.write(database, event));
  for (const std::string& tag : pushed.tags) {
    event.kind = Event::Kind::kPush;
    event.tag = tag;
    TRY(event.before, move_tag(database, id, tag, digest, pushed.origin.actor));
    TRY_OK(outbox.write(database, event));
    event.kind = Event::Kind::kMove;
    if (!event.before.empty() && event.before != digest) TRY_OK(outbox.write(database, event));
  }
  TRY(missing, missing_children(database, id, pushed));
  return {};
}

Result<std::vector<std::string>> tags_of(Database& database, std::int64_t repository,
                                         const std::string& digest) {
  std::vector<std::string> tags;
  TRY(Rows rows, database.query("SELECT tag FROM tags WHERE repository = ? AND digest = ?",
                                repository, digest));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return tags;
    tags.push_back(rows.text(0));
  }
}

Status delete_manifest(Database& database, const Outbox& outbox, const std::string& repository,
                       const std::string& digest, const Origin& origin,
                       std::vector<std::string>& tags) {
  TRY(const auto id, repository_id(database, repository));
  if (!id) return fail(Code::kNotFound, "no such repository");
  TRY(tags, tags_of(database, *id, digest));
  TRY_OK(database.run("DELETE FROM manifests WHERE repository = ? AND digest = ?", *id, digest));
  if (database.changes() == 0) return fail(Code::kNotFound, "no such manifest");
  TRY_OK(database.run("DELETE FROM tags WHERE repository = ? AND digest = ?", *id, digest));
  for (const std::string& tag : tags)
    TRY_OK(note_move(database, *id, tag, digest, "", origin.actor));
  return outbox.write(
      database,
      {.kind = Event::Kind::kDelete, .repository = repository, .digest = digest, .origin = origin});
}

Status delete_tag(Database& database, const Outbox& outbox, const std::string& repository,
                  const std::string& tag, const Origin& origin) {
  TRY(const auto id, repository_id(database, repository));
  if (!id) return fail(Code::kNotFound, "no such repository");
  TRY(const std::string before, tagged(database, *id, tag));
  if (before.empty()) return fail(Code::kNotFound, "no such tag");
  TRY_OK(database.run("DELETE FROM tags WHERE repository = ? AND tag = ?", *id, tag));
  TRY_OK(note_move(database, *id, tag, before, "", origin.actor));
  return outbox.write(database, {.kind = Event::Kind::kDelete,
                                 .repository = repository,
                                 .tag = tag,
                                 .before = before,
                                 .origin = origin});
}

Status write_pull(Database& database, const Outbox& outbox, const Event& event) {
  TRY_OK(
      database.run("UPDATE manifests SET pulled = ? WHERE digest = ? AND repository = "
                   "(SELECT id FROM repositories WHERE name = ?)",
                   seconds_now(), event.digest, event.repository));
  return outbox.write(database, event);
}

// Absence is no failure of the caller's.
Result<bool> found_or_not(const Status& done) {
  if (done) return true;
  if (done.error().code() == Code::kNotFound) return false;
  return std::unexpected(done.error());
}

Result<std::shared_ptr<const StoredManifest>> load(Database& database, const store::Layout& layout,
                                                   const std::string& repository,
                                                   const oci::Digest& digest) {
  TRY(Rows rows, database.query("SELECT m.media_type FROM repositories r "
                                "JOIN manifests m ON m.repository = r.id AND m.digest = ? "
                                "WHERE r.name = ?",
                                digest.string(), repository));
  TRY(const bool found, rows.next());
  if (!found) return nullptr;
  auto bytes = layout.root().read_small(store::Layout::blob_name(digest), kMostBytes);
  const bool here = bytes || bytes.error().code() != Code::kNotFound;
  if (here && !bytes) return std::unexpected(of_disk(bytes.error()));
  if (here && oci::Digest::of(as_bytes(*bytes), digest.algorithm()) == digest)
    return std::make_shared<const StoredManifest>(digest, rows.text(0), std::move(*bytes));
  log_damage(digest);
  return nullptr;
}

}  // namespace

rt::Task<Result<std::optional<oci::Digest>>> LocalManifests::resolve(rt::Op& op,
                                                                     std::string repository,
                                                                     std::string tag) {
  std::string key = Shelf::key(repository, tag);
  if (const oci::Digest* known = shelf_.tags.find(key)) co_return *known;
  const std::uint64_t before = shelf_.changes();
  CO_TRY(const std::string text,
         co_await shelf_.read(op, [&](Database& database) -> Result<std::string> {
           TRY(const auto id, repository_id(database, repository));
           if (!id) return std::string();
           return tagged(database, *id, tag);
         }));
  if (text.empty()) co_return std::nullopt;
  CO_TRY(oci::Digest digest, store::stored_digest(text));
  if (before == shelf_.changes()) shelf_.tags.put(std::move(key), digest, digest.string().size());
  co_return digest;
}

rt::Task<Result<std::shared_ptr<const StoredManifest>>> LocalManifests::find_manifest(
    rt::Op& op, std::string repository, oci::Digest digest) {
  std::string key = Shelf::key(repository, digest.string());
  if (const auto* known = shelf_.manifests.find(key)) co_return *known;
  const std::uint64_t before = shelf_.changes();
  CO_TRY(auto manifest, co_await shelf_.read(op, [&](Database& database) {
    return load(database, shelf_.layout(), repository, digest);
  }));
  if (manifest && before == shelf_.changes())
    shelf_.manifests.put(std::move(key), manifest, manifest->bytes.size());
  co_return manifest;
}

rt::Task<Result<std::vector<oci::Digest>>> LocalManifests::put_manifest(rt::Op& op,
                                                                        std::string repository,
                                                                        PushedManifest pushed) {
  const std::string name =
      fmt::format("{}/manifest-{}", store::kIngestFolder, crypto::random_hex(16));
  CO_TRY(fs::File file, co_await rt::blocking(shelf_.loop(), [&]() -> Result<fs::File> {
           TRY(fs::File made, of_disk(shelf_.root().create_new(name)));
           const Status written = made.write_at(0, as_bytes(pushed.manifest.bytes));
           if (written) return made;
           (void)shelf_.root().remove(name);
           return std::unexpected(of_disk(written.error()));
         }));
  store::Arrival arrival{.blob = {.media_type = pushed.manifest.media_type,
                                  .digest = pushed.manifest.digest,
                                  .size = pushed.manifest.bytes.size()},
                         .file = name};
  std::vector<oci::Digest> missing;
  const auto done = co_await shelf_.settle(op, file, std::move(arrival), [&](Database& database) {
    return write_manifest(database, shelf_.quotas(), outbox_, repository, pushed, missing);
  });
  outbox_.tell();
  for (const std::string& tag : pushed.tags) shelf_.tags.erase(Shelf::key(repository, tag));
  shelf_.manifests.erase(Shelf::key(repository, pushed.manifest.digest.string()));
  if (!done || !*done) {
    const Status tidied =
        co_await rt::blocking(shelf_.loop(), [&] { return shelf_.root().remove(name); });
    if (!tidied) log::warning("a manifest's file stays: {}", printable(tidied.error().message()));
  }
  if (!done) co_return std::unexpected(done.error());
  co_return missing;
}

rt::Task<Result<bool>> LocalManifests::remove_manifest(rt::Op& op, std::string repository,
                                                       oci::Digest digest, Origin origin) {
  std::vector<std::string> tags;
  const Status done = co_await shelf_.record(op, [&](Database& database) {
    return delete_manifest(database, outbox_, repository, digest.string(), origin, tags);
  });
  outbox_.tell();
  for (const std::string& tag : tags) shelf_.tags.erase(Shelf::key(repository, tag));
  shelf_.manifests.erase(Shelf::key(repository, digest.string()));
  co_return found_or_not(done);
}

rt::Task<Result<bool>> LocalManifests::untag(rt::Op& op, std::string repository, std::string tag,
                                             Origin origin) {
  const Status done = co_await shelf_.record(op, [&](Database& database) {
    return delete_tag(database, outbox_, repository, tag, origin);
  });
  outbox_.tell();
  shelf_.tags.erase(Shelf::key(repository, tag));
  co_return found_or_not(done);
}

rt::Task<Status> LocalManifests::note_pull(rt::Op& op, std::string repository,
                                           std::shared_ptr<const StoredManifest> manifest,
                                           std::string tag, Origin origin) {
  const std::int64_t now = seconds_now();
  std::string key = Shelf::key(repository, manifest->digest.string());
  const std::int64_t* noted = shelf_.pulled.find(key);
  const bool told = outbox_.wants(Event::Kind::kPull, repository);
  if (!told && noted != nullptr && now - *noted < kPullNoted) co_return Status();
  const Event event{.kind = Event::Kind::kPull,
                    .repository = std::move(repository),
                    .tag = std::move(tag),
                    .digest = manifest->digest.string(),
                    .media_type = manifest->media_type,
                    .size = manifest->bytes.size(),
                    .origin = std::move(origin)};
  CO_TRY_OK(co_await shelf_.record(
      op, [&](Database& database) { return write_pull(database, outbox_, event); }));
  shelf_.pulled.put(std::move(key), now, 0);
  if (told) outbox_.tell();
  co_return Status();
}

}  // namespace berth::depot
