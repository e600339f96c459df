#include "depot/local_lists.h"

#include <algorithm>

namespace berth::depot {
namespace {

// One more than asked for tells whether there is more.
Result<Page> page_of(Rows rows, std::size_t limit) {
  Page page;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return page;
    if (page.names.size() == limit) {
      page.more = true;
      return page;
    }
    page.names.push_back(rows.text(0));
  }
}

std::int64_t one_more(std::size_t limit) { return static_cast<std::int64_t>(limit) + 1; }

Result<std::vector<Referrer>> referrers_of(Rows rows) {
  std::vector<Referrer> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back(
        {.digest = rows.text(0), .artifact_type = rows.text(1), .descriptor = rows.text(2)});
  }
}

std::chrono::sys_seconds time_of(std::int64_t seconds) {
  return std::chrono::sys_seconds(std::chrono::seconds(seconds));
}

Result<std::vector<TagState>> states_of(Rows rows) {
  std::vector<TagState> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back(
        {.tag = rows.text(0), .digest = rows.text(1), .moved = time_of(rows.integer(2))});
  }
}

Result<std::vector<TagMove>> moves_of(Rows rows) {
  std::vector<TagMove> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back({.id = rows.integer(0),
                     .tag = rows.text(1),
                     .before = rows.text(2),
                     .after = rows.text(3),
                     .at = time_of(rows.integer(4)),
                     .actor = rows.text(5)});
  }
}

Result<Rows> query_moves(Database& database, std::int64_t repository, const std::string& tag,
                         std::int64_t before, std::int64_t limit) {
  if (tag.empty()) {
    return database.query(
        "SELECT id, tag, before, after, at, actor FROM tag_moves "
        "WHERE repository = ? AND id < ? ORDER BY id DESC LIMIT ?",
        repository, before, limit);
  }
  return database.query(
      "SELECT id, tag, before, after, at, actor FROM tag_moves "
      "WHERE repository = ? AND tag = ? AND id < ? ORDER BY id DESC LIMIT ?",
      repository, tag, before, limit);
}

// Sizes are what manifests claim: total() does not overflow, a sum() would fail.
constexpr const char* kTagList =
    "SELECT tag, digest, moved, (SELECT total(e.size) + total((SELECT total(g.size) FROM edges g "
    "WHERE g.parent = e.child)) FROM edges e WHERE e.parent = digest) "
    "FROM (SELECT tag, digest, moved FROM tags WHERE repository = ? "
    "ORDER BY moved DESC, tag LIMIT ? OFFSET ?) ORDER BY moved DESC, tag";

Result<std::vector<Tag>> tags_of(Rows rows) {
  std::vector<Tag> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back({.name = rows.text(0),
                     .digest = rows.text(1),
                     .size = static_cast<std::uint64_t>(std::max<std::int64_t>(rows.integer(3), 0)),
                     .moved = time_of(rows.integer(2))});
  }
}

Result<std::size_t> count_tags(Database& database, std::int64_t repository) {
  TRY(Rows rows, database.query("SELECT count(*) FROM tags WHERE repository = ?", repository));
  TRY(const bool found, rows.next());
  return found ? static_cast<std::size_t>(rows.integer(0)) : 0;
}

}  // namespace

rt::Task<Result<std::optional<Page>>> LocalLists::tags(rt::Op& op, std::string repository,
                                                       PageRequest request) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::optional<Page>> {
    TRY(const auto id, repository_id(database, repository));
    if (!id) return std::nullopt;
    TRY(Rows rows,
        database.query("SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
                       *id, request.last, one_more(request.limit)));
    TRY(Page page, page_of(std::move(rows), request.limit));
    return page;
  });
}

rt::Task<Result<std::optional<TagList>>> LocalLists::tag_list(rt::Op& op, std::string repository,
                                                              std::size_t skip, std::size_t limit) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::optional<TagList>> {
    TRY(const auto id, repository_id(database, repository));
    if (!id) return std::nullopt;
    TagList list;
    TRY(list.total, count_tags(database, *id));
    TRY(Rows rows, database.query(kTagList, *id, static_cast<std::int64_t>(limit),
                                  static_cast<std::int64_t>(skip)));
    TRY(list.tags, tags_of(std::move(rows)));
    return list;
  });
}

// A repository from which everything was deleted is not listed.
rt::Task<Result<Page>> LocalLists::repositories(rt::Op& op, PageRequest request) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<Page> {
    TRY(Rows rows,
        database.query("SELECT name FROM repositories r WHERE name > ? AND EXISTS("
                       "SELECT 1 FROM manifests m WHERE m.repository = r.id) ORDER BY name LIMIT ?",
                       request.last, one_more(request.limit)));
    return page_of(std::move(rows), request.limit);
  });
}

rt::Task<Result<std::vector<Referrer>>> LocalLists::referrers(rt::Op& op, std::string repository,
                                                              oci::Digest subject,
                                                              PageRequest request) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<Referrer>> {
    TRY(const auto id, repository_id(database, repository));
    if (!id) return std::vector<Referrer>();
    TRY(Rows rows,
        database.query("SELECT digest, artifact_type, descriptor FROM manifests "
                       "WHERE repository = ? AND subject = ? AND subject <> '' AND digest > ? "
                       "ORDER BY digest LIMIT ?",
                       *id, subject.string(), request.last,
                       static_cast<std::int64_t>(request.limit)));
    return referrers_of(std::move(rows));
  });
}

rt::Task<Result<std::vector<TagState>>> LocalLists::tag_states(rt::Op& op, std::string repository,
                                                               PageRequest request) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<TagState>> {
    TRY(const auto id, repository_id(database, repository));
    if (!id) return std::vector<TagState>();
    TRY(Rows rows, database.query("SELECT tag, digest, moved FROM tags "
                                  "WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
                                  *id, request.last, static_cast<std::int64_t>(request.limit)));
    return states_of(std::move(rows));
  });
}

rt::Task<Result<std::vector<TagMove>>> LocalLists::history(rt::Op& op, std::string repository,
                                                           std::string tag, std::int64_t before,
                                                           std::size_t limit) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<TagMove>> {
    TRY(const auto id, repository_id(database, repository));
    if (!id) return std::vector<TagMove>();
    TRY(Rows rows, query_moves(database, *id, tag, before, static_cast<std::int64_t>(limit)));
    return moves_of(std::move(rows));
  });
}

}  // namespace berth::depot
