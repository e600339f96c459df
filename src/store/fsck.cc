#include "store/fsck.h"

#include <fcntl.h>

#include "oci/media_types.h"
#include "store/blobs.h"
#include "store/collector.h"
#include "store/file_pass.h"
#include "store/models.h"
#include "store/rebuild.h"
#include "store/refs_log.h"
#include "store/survey.h"

namespace berth::store {
namespace {

using Kind = Finding::Kind;

constexpr int kReaders = 4;  // as many as the pool has threads
// Files without a row that are younger may be another tool's that is still writing.
constexpr auto kOrphanAge = std::chrono::hours(1);

enum class Content { kRight, kWrong, kUnreadable, kGone };

// Of a blob's file, by its bytes as the disk gives them now.
Task<Result<Content>> look(rt::Op& op, Desk& desk, const oci::Descriptor& blob, OnBytes on_bytes) {
  auto file = co_await rt::blocking(
      desk.loop(), [&] { return desk.layout().root().open_read(Layout::blob_name(blob.digest)); });
  if (!file && file.error().code() == Code::kNotFound) co_return Content::kGone;
  if (!file) co_return Content::kUnreadable;
  // What the page cache holds says nothing about the disk.
  (void)::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED);
  crypto::Hasher hasher(blob.digest.algorithm());
  const Status read =
      co_await hash_file(op, desk.loop(), *file, blob.size, hasher, std::move(on_bytes));
  CO_TRY_OK(op.check());
  if (!read) co_return Content::kUnreadable;
  const bool right =
      oci::Digest::from_hash(blob.digest.algorithm(), hasher.finish()) == blob.digest;
  co_return right ? Content::kRight : Content::kWrong;
}

// Reads blobs, a few at a time.
class Reading {
 public:
  Reading(Desk& desk, std::vector<oci::Descriptor> blobs, content::Progress& progress)
      : desk_(desk), blobs_(std::move(blobs)), progress_(progress) {}

  Task<Status> run(rt::Op& parent) {
    rt::Op op(parent);
    rt::Scope scope(desk_.loop());
    scope.cancel_on_failure(op);
    for (int reader = 0; reader < kReaders; ++reader) scope.spawn(read_some(op));
    co_return co_await scope.join();
  }

  struct Bad {
    oci::Descriptor blob;
    Content content;
  };
  const std::vector<Bad>& bad() const { return bad_; }
  std::uint64_t read() const { return read_; }

 private:
  Task<Status> read_some(rt::Op& op) {
    while (next_ < blobs_.size()) CO_TRY_OK(co_await read_one(op, blobs_[next_++]));
    co_return Status();
  }

  Task<Status> read_one(rt::Op& op, const oci::Descriptor& blob) {
    auto tell = [this, &blob](std::uint64_t at) {
      progress_.on({.kind = content::Event::Kind::kBytes, .blob = blob, .current = at});
    };
    CO_TRY(const Content content, co_await look(op, desk_, blob, tell));
    read_ += blob.size;
    if (content == Content::kRight) {
      progress_.on({.kind = content::Event::Kind::kDone, .blob = blob, .current = blob.size});
    } else if (content != Content::kGone) {
      // Gone: it was removed since the survey.
      bad_.push_back({blob, content});
    }
    co_return Status();
  }

  Desk& desk_;
  std::vector<oci::Descriptor> blobs_;
  content::Progress& progress_;
  std::size_t next_ = 0;
  std::uint64_t read_ = 0;
  std::vector<Bad> bad_;
};

std::string sentence(Content content) {
  return content == Content::kUnreadable ? "its file cannot be read"
                                         : "its bytes are not what its digest says";
}

Status rewrite_edges(Database& database, const Layout& layout, const oci::Descriptor& blob) {
  const auto document = read_document(layout, blob.digest, blob.media_type);
  if (!document) return {};
  TRY_OK(database.run("DELETE FROM edges WHERE parent = ?", blob.digest.string()));
  return insert_row(database, document->blob, document->children, now());
}

// The log as it has to be for the catalogue to come out of it.
Result<std::vector<RefMove>> moves_of(Database& database) {
  std::vector<RefMove> moves;
  TRY(const auto tags, list_tags(database));
  for (const TagRow& row : tags) {
    moves.push_back({.kind = RefMove::Kind::kTag,
                     .time = now(),
                     .target = row.target,
                     .model = row.model,
                     .reference = row.reference});
    if (row.target == row.model) continue;
    moves.push_back(
        {.kind = RefMove::Kind::kSelect, .time = now(), .target = row.target, .model = row.model});
  }
  TRY(const auto models, list_models(database));
  for (const Record& model : models) {
    if (!model.tags.empty()) continue;
    const oci::Reference once{.registry = "local", .repository = "model", .digest = model.id};
    moves.push_back({.kind = RefMove::Kind::kTag,
                     .time = model.added,
                     .target = model.id,
                     .model = model.id,
                     .reference = once});
    moves.push_back({.kind = RefMove::Kind::kUntag, .time = now(), .reference = once});
  }
  return moves;
}

Status rewrite_log(Database& database, const Layout& layout) {
  TRY(const auto moves, moves_of(database));
  std::string text;
  for (const RefMove& move : moves) text += format_move(move);
  return layout.root().replace(kRefsLogFile, text);
}

// Locks of sessions without a row; those with one went with it.
Status remove_dead_lock(const Layout& layout, const std::string& id) {
  TRY(const bool alive, is_alive(layout, id));
  return alive ? Status() : layout.root().remove("locks/session-" + id);
}

Status insert_unlisted(Database& database, const Layout& layout, const oci::Digest& digest) {
  TRY(const auto info, layout.find_blob(digest));
  if (!info || !info->is_regular) return {};
  TRY_OK(insert_row(database, {.digest = digest, .size = info->size}, {}, now()));
  const auto document = read_document(layout, digest, "");
  return document ? insert_row(database, document->blob, document->children, now()) : Status();
}

bool is_old(const fs::FileInfo& info) {
  const auto modified = std::chrono::nanoseconds(info.mtime_ns);
  return std::chrono::system_clock::now().time_since_epoch() - modified >= kOrphanAge;
}

// A file without a row that holds something else than its name says is of no use to anybody.
Task<Status> judge_unlisted(rt::Op& op, Desk& desk, oci::Digest digest) {
  CO_TRY(const auto info,
         co_await rt::blocking(desk.loop(), [&] { return desk.layout().find_blob(digest); }));
  if (!info || !info->is_regular) co_return Status();
  const oci::Descriptor blob{.digest = digest, .size = info->size};
  CO_TRY(const Content content, co_await look(op, desk, blob, {}));
  if (content == Content::kGone || (content != Content::kRight && !is_old(*info)))
    co_return Status();
  co_return co_await desk.write(op, Catalog::Durability::kFull,
                                [&desk, digest, content](Database& database) -> Status {
                                  TRY(const auto row, find_row(database, digest));
                                  if (row) return {};
                                  if (content == Content::kRight)
                                    return insert_unlisted(database, desk.layout(), digest);
                                  return desk.layout().root().remove(Layout::blob_name(digest));
                                });
}

}  // namespace

Task<Result<CheckReport>> check_store(rt::Op& op, Desk& desk, CheckOptions options,
                                      content::Progress& progress) {
  const auto work = [&desk](Database& database) { return survey(database, desk.layout()); };
  // A store that cannot be written has no other writers that we could hold off.
  const bool writable = desk.catalog().check_writable().has_value();
  CO_TRY(Surveyed seen, writable ? co_await desk.rehearse(op, work) : co_await desk.read(op, work));
  CheckReport report{
      .findings = std::move(seen.findings), .blobs = seen.blobs, .bytes = seen.bytes};
  if (!options.read_data) co_return report;
  Reading reading(desk, std::move(seen.unread), progress);
  CO_TRY_OK(co_await reading.run(op));
  report.read = reading.read();
  for (const Reading::Bad& bad : reading.bad()) {
    CO_TRY(Finding finding, co_await desk.read(op, [&bad](Database& database) {
      return blob_finding(database, Kind::kDamaged, bad.blob, sentence(bad.content));
    }));
    report.findings.push_back(std::move(finding));
  }
  co_return report;
}

Task<Status> set_aside(rt::Op& op, Desk& desk, oci::Descriptor blob) {
  CO_TRY_OK(desk.catalog().check_writable());
  CO_TRY(const DigestLock lock, co_await desk.lock(op, blob.digest));
  // Somebody may have brought it anew since it was found wrong.
  CO_TRY(const auto info,
         co_await rt::blocking(desk.loop(), [&] { return desk.layout().find_blob(blob.digest); }));
  if (!info) co_return Status();
  if (info->is_regular && info->size == blob.size) {
    CO_TRY(const Content content, co_await look(op, desk, blob, {}));
    if (content == Content::kRight || content == Content::kGone) co_return Status();
  }
  co_return co_await desk.write(
      op, Catalog::Durability::kFull, [&desk, blob](Database& database) -> Status {
        TRY_OK(database.run("DELETE FROM links WHERE digest = ?", blob.digest.string()));
        return desk.layout().root().remove_tree(Layout::blob_name(blob.digest));
      });
}

Task<Status> mend_records(rt::Op& op, Desk& desk, std::vector<Finding> findings) {
  CO_TRY_OK(desk.catalog().check_writable());
  for (const Finding& finding : findings) {
    if (finding.kind != Kind::kUnlisted) continue;
    CO_TRY(oci::Digest digest, oci::Digest::parse(finding.what));
    CO_TRY_OK(co_await judge_unlisted(op, desk, std::move(digest)));
  }
  co_return co_await desk.write(op, Catalog::Durability::kFull,
                                [&desk, findings](Database& database) -> Status {
                                  const Layout& layout = desk.layout();
                                  TRY_OK(bury_dead_sessions(database, layout));
                                  for (const Finding& finding : findings) {
                                    if (finding.kind == Kind::kRecord) {
                                      TRY_OK(rewrite_edges(database, layout, *finding.blob));
                                    } else if (finding.kind == Kind::kSession) {
                                      TRY_OK(remove_dead_lock(layout, finding.what));
                                    } else if (finding.kind == Kind::kLog) {
                                      TRY_OK(rewrite_log(database, layout));
                                    }
                                  }
                                  return {};
                                });
}

}  // namespace berth::store
