#include "depot/local_blobs.h"

namespace berth::depot {
namespace {

Result<std::optional<std::uint64_t>> member_size(Database& database, const std::string& repository,
                                                 const oci::Digest& digest) {
  TRY(Rows rows, database.query("SELECT b.size FROM repositories r "
                                "JOIN members m ON m.repository = r.id AND m.digest = ? "
                                "JOIN blobs b ON b.digest = m.digest WHERE r.name = ?",
                                digest.string(), repository));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  return static_cast<std::uint64_t>(rows.integer(0));
}

Result<bool> anybody_has(Database& database, const oci::Digest& digest) {
  TRY(Rows rows, database.query("SELECT 1 FROM members WHERE digest = ? LIMIT 1", digest.string()));
  return rows.next();
}

Status mount_here(Database& database, const Shelf& shelf, const std::string& repository,
                  const oci::Digest& digest, const std::string& from) {
  bool there = false;
  if (from.empty()) {
    TRY(there, anybody_has(database, digest));
  } else {
    TRY(const auto size, member_size(database, from, digest));
    there = size.has_value();
  }
  if (there) {
    TRY(const auto row, store::find_row(database, digest));
    TRY(there, is_whole(shelf, digest, row ? row->size : 0));
  }
  if (!there) return fail(Code::kNotFound, "nothing to mount");
  return admit_member(database, shelf.quotas(), repository, digest);
}

Status remove_here(Database& database, const std::string& repository, const oci::Digest& digest) {
  TRY(const auto id, repository_id(database, repository));
  if (!id) return fail(Code::kNotFound, "no such repository");
  TRY_OK(database.run("DELETE FROM members WHERE repository = ? AND digest = ?", *id,
                      digest.string()));
  if (database.changes() == 0) return fail(Code::kNotFound, "no such blob");
  return {};
}

}  // namespace

Status add_member(Database& database, std::int64_t repository, const oci::Digest& digest) {
  return database.run(
      "INSERT INTO members(repository, digest, added) VALUES(?, ?, ?) "
      "ON CONFLICT DO UPDATE SET added = excluded.added",
      repository, digest.string(), seconds_now());
}

Status admit_member(Database& database, const Quotas& quotas, const std::string& repository,
                    const oci::Digest& digest) {
  if (!quotas.none()) {
    TRY(const auto size, member_size(database, repository, digest));
    TRY(const auto blob, store::find_row(database, digest));
    if (!size && blob) TRY_OK(quotas.check(database, repository, blob->size));
  }
  TRY(const std::int64_t id, make_repository(database, repository));
  TRY_OK(quotas.enter(database, id, repository));
  return add_member(database, id, digest);
}

rt::Task<Result<std::optional<std::uint64_t>>> LocalBlobs::find_blob(rt::Op& op,
                                                                     std::string repository,
                                                                     oci::Digest digest) {
  std::string key = Shelf::key(repository, digest.string());
  if (const std::uint64_t* known = shelf_.blobs.find(key)) {
    shelf_.asked.put(std::move(key), seconds_now(), 0);
    co_return *known;
  }
  const std::uint64_t before = shelf_.changes();
  using Size = std::optional<std::uint64_t>;
  CO_TRY(const Size size, co_await shelf_.read(op, [&](Database& database) -> Result<Size> {
    TRY(const Size found, member_size(database, repository, digest));
    if (!found) return found;
    // What is damaged is not here, so it can be pushed again.
    TRY(const bool whole, is_whole(shelf_, digest, *found));
    return whole ? found : Size();
  }));
  if (size) shelf_.asked.put(key, seconds_now(), 0);
  if (size && before == shelf_.changes()) shelf_.blobs.put(std::move(key), *size, 0);
  co_return size;
}

rt::Task<Result<std::optional<OpenBlob>>> LocalBlobs::open_blob(rt::Op& op, std::string repository,
                                                                oci::Digest digest) {
  const std::string key = Shelf::key(repository, digest.string());
  CO_TRY(const auto size, co_await find_blob(op, repository, digest));
  if (!size) co_return std::nullopt;
  bool whole = false;
  auto file = co_await rt::blocking(shelf_.loop(), [&]() -> Result<fs::File> {
    TRY(auto opened, shelf_.root().open_read(store::Layout::blob_name(digest)));
    TRY(const fs::FileInfo info, opened.info());
    whole = info.size == *size;
    return opened;
  });
  if (!file && file.error().code() != Code::kNotFound)
    co_return std::unexpected(of_disk(file.error()));
  if (whole) co_return OpenBlob{.file = file->take(), .size = *size};
  // Collected a moment ago, or damaged: then this tells the log of it.
  shelf_.blobs.erase(key);
  CO_TRY_OK(co_await find_blob(op, std::move(repository), digest));
  co_return std::nullopt;
}

rt::Task<Result<bool>> LocalBlobs::mount(rt::Op& op, std::string repository, oci::Digest digest,
                                         std::string from) {
  const Status done = co_await shelf_.record(op, [&](Database& database) {
    return mount_here(database, shelf_, repository, digest, from);
  });
  if (!done && done.error().code() == Code::kNotFound) co_return false;
  if (!done) co_return std::unexpected(done.error());
  co_return true;
}

rt::Task<Result<bool>> LocalBlobs::remove_blob(rt::Op& op, std::string repository,
                                               oci::Digest digest) {
  const Status done = co_await shelf_.record(
      op, [&](Database& database) { return remove_here(database, repository, digest); });
  shelf_.blobs.erase(Shelf::key(repository, digest.string()));
  if (!done && done.error().code() == Code::kNotFound) co_return false;
  if (!done) co_return std::unexpected(done.error());
  co_return true;
}

}  // namespace berth::depot
