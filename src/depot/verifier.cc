#include "depot/verifier.h"

#include <algorithm>
#include <fcntl.h>

#include "base/log.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "depot/verify_position.h"
#include "store/file_pass.h"

namespace berth::depot {
namespace {

constexpr std::uint64_t kStep = std::uint64_t{4} << 20;  // of one visit to the pool
constexpr std::int64_t kPage = 500;                      // rows read at once
constexpr std::size_t kAtOnce = 4;                       // passes that were asked for
constexpr std::size_t kKept = 16;                        // of those that ended
constexpr std::size_t kMostDamages = 200;                // listed of a pass; the log has all
constexpr std::int64_t kMostHurts = 100;
constexpr auto kNoteEvery = std::chrono::minutes(1);
constexpr auto kAfterFailure = std::chrono::hours(1);
constexpr auto kAskAgain = std::chrono::seconds(30);

// Of everything, and of what a repository shows.
struct Queries {
  const char* count;
  const char* page;
};
constexpr Queries kOfAll = {
    .count = "SELECT count(*), COALESCE(sum(size), 0) FROM blobs WHERE ?1 = 0",
    .page = "SELECT digest, size FROM blobs WHERE ?1 = 0 AND digest > ?2 ORDER BY digest LIMIT ?3"};
constexpr Queries kOfRepository = {
    .count =
        "SELECT count(*), COALESCE(sum(size), 0) FROM blobs WHERE digest IN ("
        "SELECT digest FROM members WHERE repository = ?1 UNION "
        "SELECT digest FROM manifests WHERE repository = ?1)",
    .page =
        "SELECT digest, size FROM blobs WHERE digest IN ("
        "SELECT digest FROM members WHERE repository = ?1 UNION "
        "SELECT digest FROM manifests WHERE repository = ?1) "
        "AND digest > ?2 ORDER BY digest LIMIT ?3"};

struct Extent {
  const Queries& queries;
  std::int64_t repository = 0;
};

// kNotFound when the repository went.
Result<Extent> extent_of(Database& database, const std::string& repository) {
  if (repository.empty()) return Extent{.queries = kOfAll};
  TRY(const auto id, repository_id(database, repository));
  if (!id) return fail(Code::kNotFound, "there is no repository {} any more", repository);
  return Extent{.queries = kOfRepository, .repository = *id};
}

Status count(Database& database, Verification& seen) {
  TRY(const Extent extent, extent_of(database, seen.repository));
  TRY(Rows rows, database.query(extent.queries.count, extent.repository));
  TRY_OK(rows.next());
  seen.blobs = static_cast<std::uint64_t>(rows.integer(0));
  seen.bytes = static_cast<std::uint64_t>(rows.integer(1));
  return {};
}

// All that needs the blob: manifests that name it, indexes that name those, and their tags.
Result<std::vector<Damage::Hurt>> hurts_of(Database& database, const std::string& digest) {
  TRY(Rows rows,
      database.query("WITH RECURSIVE above(digest) AS (SELECT ?1 UNION SELECT e.parent FROM edges "
                     "e JOIN above a ON e.child = a.digest), "
                     "hurt(repository, tag) AS ("
                     "SELECT m.repository, COALESCE(t.tag, '') FROM above a "
                     "JOIN manifests m ON m.digest = a.digest "
                     "LEFT JOIN tags t ON t.repository = m.repository AND t.digest = m.digest "
                     "UNION SELECT repository, '' FROM members WHERE digest = ?1) "
                     "SELECT r.name, h.tag FROM hurt h JOIN repositories r ON r.id = h.repository "
                     "ORDER BY r.name, h.tag LIMIT ?2",
                     digest, kMostHurts));
  std::vector<Damage::Hurt> hurts;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return hurts;
    if (hurts.empty() || hurts.back().repository != rows.text(0))
      hurts.push_back({.repository = rows.text(0)});
    if (!rows.text(1).empty()) hurts.back().tags.push_back(rows.text(1));
  }
}

Result<std::vector<std::string>> shown_by(Database& database, const std::string& digest) {
  TRY(Rows rows, database.query("SELECT name FROM repositories WHERE id IN ("
                                "SELECT repository FROM members WHERE digest = ?1 UNION "
                                "SELECT repository FROM manifests WHERE digest = ?1)",
                                digest));
  std::vector<std::string> names;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return names;
    names.push_back(rows.text(0));
  }
}

std::string aside_name(const oci::Digest& digest) {
  return fmt::format("{}/{}-{}", kDamagedFolder, digest.algorithm_name(), digest.hex());
}

std::string_view told_as(Damage::Kind kind) {
  switch (kind) {
    case Damage::Kind::kDamaged:
      return "its bytes are not those of its digest, so it is out of service and its file is in "
             "the folder damaged: push it again, or restore it from a backup";
    case Damage::Kind::kMissing:
      return "its file is missing: push it again, or restore it from a backup";
    case Damage::Kind::kUnreadable:
      break;
  }
  return "its file cannot be read, and stays where it is: look after the disk";
}

void log_found(const Damage& damage) {
  std::vector<std::string> needed;
  for (const Damage::Hurt& hurt : damage.hurts) {
    if (hurt.tags.empty()) needed.push_back(hurt.repository);
    for (const std::string& tag : hurt.tags) needed.push_back(hurt.repository + ":" + tag);
  }
  log::error("{}: {} (needed by {})", damage.digest, told_as(damage.kind),
             needed.empty() ? "nobody" : fmt::format("{}", fmt::join(needed, ", ")));
}

}  // namespace

std::string_view to_string(Damage::Kind kind) {
  switch (kind) {
    case Damage::Kind::kDamaged:
      return "damaged";
    case Damage::Kind::kMissing:
      return "missing";
    case Damage::Kind::kUnreadable:
      break;
  }
  return "unreadable";
}

struct Verifier::Pass {
  explicit Pass(rt::Loop& loop) : changed(loop) {}

  Verification seen;
  std::string last;  // digest; those behind it are still to be looked at
  rt::Event changed;
  std::optional<VerifyPosition> position;  // of a regular one
  rt::SteadyTime noted{};
};

Verifier::Verifier(Shelf& shelf, std::uint64_t rate)
    : shelf_(shelf), rate_(rate), scope_(shelf.loop()), op_("verify") {}

rt::Task<Status> Verifier::close() {
  op_.cancel(Error(Code::kCancelled, "the registry stops: ask again when it is back"));
  (void)co_await scope_.join();
  co_return Status();
}

std::size_t Verifier::running() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(passes_, [](const auto& pass) { return pass->seen.running; }));
}

rt::Task<Result<std::optional<std::uint64_t>>> Verifier::verify(rt::Op& op,
                                                                std::string repository) {
  if (!repository.empty()) {
    CO_TRY(const auto id, co_await shelf_.read(op, [&](Database& database) {
      return repository_id(database, repository);
    }));
    if (!id) co_return std::nullopt;
  }
  CO_TRY_OK(op_.check());
  for (const auto& pass : passes_)
    if (pass->seen.running && pass->seen.repository == repository) co_return pass->seen.pass;
  if (running() >= kAtOnce) {
    co_return std::unexpected(
        Error(Code::kRateLimited,
              fmt::format("{} checks of other repositories are under way: wait for one of them",
                          running()))
            .with_retry_after(kAskAgain));
  }
  while (passes_.size() >= kAtOnce + kKept) {
    const auto ended =
        std::ranges::find_if(passes_, [](const auto& p) { return !p->seen.running; });
    passes_.erase(ended);
  }
  auto pass = std::make_shared<Pass>(shelf_.loop());
  pass->seen.pass = ++last_pass_;
  pass->seen.repository = std::move(repository);
  passes_.push_back(pass);
  scope_.spawn(carry_out(*this, pass));
  co_return pass->seen.pass;
}

rt::Task<Result<std::optional<Verification>>> Verifier::verification(
    rt::Op& op, std::uint64_t pass, std::chrono::milliseconds patience) {
  const auto found =
      std::ranges::find_if(passes_, [&](const auto& one) { return one->seen.pass == pass; });
  if (found == passes_.end()) co_return std::nullopt;
  const std::shared_ptr<Pass> asked = *found;
  const rt::SteadyTime until = std::chrono::steady_clock::now() + patience;
  while (asked->seen.running) {
    const Status waited = co_await asked->changed.wait_until(op, until);
    CO_TRY_OK(op.check());
    if (!waited) break;
  }
  co_return asked->seen;
}

rt::Task<Status> Verifier::carry_out(Verifier& verifier, std::shared_ptr<Pass> pass) {
  const Status done = co_await verifier.run(verifier.op_, *pass);
  if (!done) pass->seen.failure = done.error();
  pass->seen.running = false;
  pass->changed.notify_all();
  co_return Status();
}

rt::Task<Status> Verifier::run(rt::Op& op, Pass& pass) {
  CO_TRY_OK(
      co_await shelf_.read(op, [&](Database& database) { return count(database, pass.seen); }));
  for (;;) {
    CO_TRY(const auto blobs, co_await shelf_.read(op, [&](Database& database) {
      return stored_behind(database, pass.seen.repository, pass.last);
    }));
    if (blobs.empty()) co_return Status();
    for (const StoredBlob& blob : blobs) {
      CO_TRY_OK(co_await check(op, pass, blob));
      pass.last = blob.digest.string();
      CO_TRY_OK(co_await note(pass));
    }
  }
}

Result<std::vector<StoredBlob>> Verifier::stored_behind(Database& database,
                                                        const std::string& repository,
                                                        const std::string& last) {
  TRY(const Extent extent, extent_of(database, repository));
  TRY(Rows rows, database.query(extent.queries.page, extent.repository, last, kPage));
  return stored_blobs(std::move(rows));
}

rt::Task<Status> Verifier::check(rt::Op& op, Pass& pass, StoredBlob blob) {
  CO_TRY(Seen seen, co_await look(op, blob));
  // Memory and cables err as well: only what is wrong twice is moved aside.
  if (seen.content == Content::kWrong) {
    CO_TRY(seen, co_await look(op, blob));
  }
  std::optional<Damage> damage;
  if (seen.content != Content::kRight) {
    CO_TRY(damage, co_await judge(op, blob, seen));
  }
  ++pass.seen.checked;
  pass.seen.checked_bytes += blob.size;
  told_(blob.size, damage ? std::optional(damage->kind) : std::nullopt);
  if (!damage) co_return Status();
  log_found(*damage);
  ++pass.seen.damaged;
  if (pass.seen.damages.size() < kMostDamages) pass.seen.damages.push_back(std::move(*damage));
  co_return Status();
}

rt::Task<Result<Verifier::Seen>> Verifier::look(rt::Op& op, StoredBlob blob) {
  Seen seen;
  auto file = co_await rt::blocking(shelf_.loop(), [&]() -> Result<fs::File> {
    TRY(auto opened, shelf_.root().open_read(store::Layout::blob_name(blob.digest)));
    TRY(seen.file, opened.info());
    // What the page cache holds says nothing about the disk.
    (void)::posix_fadvise(opened.fd(), 0, 0, POSIX_FADV_DONTNEED);
    return opened;
  });
  if (!file && file.error().code() == Code::kExhausted) co_return std::unexpected(file.error());
  if (!file) {
    seen.content =
        file.error().code() == Code::kNotFound ? Content::kMissing : Content::kUnreadable;
  } else if (!seen.file.is_regular || seen.file.size != blob.size) {
    seen.content = Content::kWrong;
  } else {
    CO_TRY(seen.content, co_await read(op, std::move(*file), blob));
  }
  co_return seen;
}

rt::Task<Result<Verifier::Content>> Verifier::read(rt::Op& op, fs::File file, StoredBlob blob) {
  crypto::Hasher hasher(blob.digest.algorithm());
  for (std::uint64_t at = 0; at < blob.size;) {
    const std::uint64_t end = std::min(at + kStep, blob.size);
    CO_TRY_OK(co_await keep_pace(op, end - at));
    const Status read = co_await rt::blocking(shelf_.loop(), [&] {
      Status done = store::hash_range(file, at, end, hasher);
      // Nor shall a pass drive out what is served.
      (void)::posix_fadvise(file.fd(), static_cast<off_t>(at), static_cast<off_t>(end - at),
                            POSIX_FADV_DONTNEED);
      return done;
    });
    if (!read) co_return Content::kUnreadable;
    at = end;
  }
  const auto found = oci::Digest::from_hash(blob.digest.algorithm(), hasher.finish());
  co_return found == blob.digest ? Content::kRight : Content::kWrong;
}

rt::Task<Status> Verifier::keep_pace(rt::Op& op, std::uint64_t bytes) {
  CO_TRY_OK(op.check());
  if (rate_ == 0) co_return Status();
  const auto now = std::chrono::steady_clock::now();
  const rt::SteadyTime turn = std::max(due_, now);
  const std::chrono::duration<double> taken(static_cast<double>(bytes) /
                                            static_cast<double>(rate_));
  due_ = turn + std::chrono::ceil<rt::SteadyTime::duration>(taken);
  if (turn > now) CO_TRY_OK(co_await rt::sleep_until(op, turn));
  co_return Status();
}

rt::Task<Result<std::optional<Damage>>> Verifier::judge(rt::Op& op, StoredBlob blob, Seen seen) {
  CO_TRY_OK(co_await rt::blocking(shelf_.loop(), [&]() -> Status {
    TRY_OK(of_disk(shelf_.root().make_subdir(kDamagedFolder)));
    return {};
  }));
  const std::string& digest = blob.digest.string();
  std::optional<Damage> damage;
  std::vector<std::string> shown;
  Status moved;
  // In a transaction that writes: nobody brings or frees the blob meanwhile.
  const Status done = co_await shelf_.record(op, [&](Database& database) -> Status {
    TRY(const auto row, store::find_row(database, blob.digest));
    if (!row) return {};
    const auto now = shelf_.layout().find_blob(blob.digest);
    if (!now) seen.content = Content::kUnreadable;
    if (now && !is_as_seen(*now, seen)) return {};
    Damage found{.digest = digest, .size = blob.size, .kind = kind_of(seen.content)};
    TRY(found.hurts, hurts_of(database, digest));
    TRY(shown, shown_by(database, digest));
    if (seen.content == Content::kWrong)
      moved = shelf_.root().rename(store::Layout::blob_name(blob.digest), aside_name(blob.digest));
    damage = std::move(found);
    return {};
  });
  for (const std::string& repository : shown) {
    shelf_.blobs.erase(Shelf::key(repository, digest));
    shelf_.manifests.erase(Shelf::key(repository, digest));
  }
  CO_TRY_OK(done);
  if (!moved) log::error("{} could not be moved aside: {}", digest, moved.error().message());
  co_return damage;
}

// Whether it is still the file, or the lack of one, that was looked at.
bool Verifier::is_as_seen(const std::optional<fs::FileInfo>& now, const Seen& seen) {
  if (seen.content == Content::kMissing) return !now;
  if (seen.content == Content::kUnreadable) return now.has_value();
  return now && now->inode == seen.file.inode && now->device == seen.file.device;
}

Damage::Kind Verifier::kind_of(Content content) {
  switch (content) {
    case Content::kMissing:
      return Damage::Kind::kMissing;
    case Content::kUnreadable:
      return Damage::Kind::kUnreadable;
    default:
      return Damage::Kind::kDamaged;
  }
}

rt::Task<Status> Verifier::note(Pass& pass) {
  const auto now = std::chrono::steady_clock::now();
  if (!pass.position || now - pass.noted < kNoteEvery) co_return Status();
  pass.noted = now;
  pass.position->last = pass.last;
  co_return co_await rt::blocking(shelf_.loop(),
                                  [&] { return pass.position->save(shelf_.root()); });
}

rt::Task<Status> Verifier::run_regularly(rt::Op& op, std::chrono::seconds every) {
  VerifyPosition position =
      co_await rt::blocking(shelf_.loop(), [this] { return VerifyPosition::load(shelf_.root()); });
  for (;;) {
    const std::int64_t now = seconds_now();
    if (position.ended) {
      // A clock that was set back must not make it wait for ever.
      const std::int64_t left = position.began + every.count() - now;
      const auto pause = std::clamp(std::chrono::seconds(left), std::chrono::seconds(0), every);
      CO_TRY_OK(co_await rt::sleep_for(op, pause));
      position = {.began = seconds_now()};
    }
    Pass pass(shelf_.loop());
    pass.last = position.last;
    pass.position = position;
    pass.noted = std::chrono::steady_clock::now();
    Status done = co_await run(op, pass);
    position = *pass.position;
    position.last = pass.last;
    position.ended = done.has_value();
    if (done) {
      log::info("verified what is stored: {} blobs, {}, {} damaged", pass.seen.checked,
                format_size(pass.seen.checked_bytes), pass.seen.damaged);
      done = co_await rt::blocking(shelf_.loop(), [&] { return position.save(shelf_.root()); });
    }
    CO_TRY_OK(op.check());
    if (done) continue;
    log::error("what is stored could not be verified: {}", printable(done.error().message()));
    CO_TRY_OK(co_await rt::sleep_for(op, kAfterFailure));
  }
}

rt::Task<Status> Verifier::tidy(rt::Op& op) {
  CO_TRY(const auto names,
         co_await rt::blocking(shelf_.loop(), [this]() -> Result<std::vector<std::string>> {
           const auto folder = shelf_.root().subdir(kDamagedFolder);
           if (!folder && folder.error().code() == Code::kNotFound) return {};
           if (!folder) return std::unexpected(of_disk(folder.error()));
           return of_disk(folder->list());
         }));
  if (names.empty()) co_return Status();
  co_return co_await shelf_.record(op, [&](Database& database) -> Status {
    for (const std::string& name : names) {
      const auto digest = store::Layout::ingest_digest(name);
      if (!digest) continue;  // not ours
      TRY(const auto row, store::find_row(database, *digest));
      TRY(const auto info, shelf_.layout().find_blob(*digest));
      if (row && (!info || !info->is_regular || info->size != row->size)) continue;
      const Status removed = shelf_.root().remove_tree(aside_name(*digest));
      if (!removed) log::warning("{}", printable(removed.error().message()));
    }
    return {};
  });
}

}  // namespace berth::depot
