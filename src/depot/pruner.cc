#include "depot/pruner.h"

#include <algorithm>

namespace berth::depot {
namespace {

// One transaction takes this many at most, so that pushes never wait long.
constexpr std::size_t kAtOnce = 500;
constexpr std::string_view kActor = "retention";

Result<std::vector<std::string>> repositories_of(Database& database) {
  std::vector<std::string> names;
  TRY(Rows rows, database.query("SELECT name FROM repositories ORDER BY name"));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return names;
    names.push_back(rows.text(0));
  }
}

Status read_tags(Database& database, std::int64_t id, RepositoryState& state) {
  TRY(Rows rows, database.query("SELECT tag, digest, moved, (SELECT max(m.id) FROM tag_moves m "
                                "WHERE m.repository = tags.repository AND m.tag = tags.tag) "
                                "FROM tags WHERE repository = ?",
                                id));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return {};
    state.tags.push_back({.name = rows.text(0),
                          .digest = rows.text(1),
                          .moved = rows.integer(2),
                          .order = rows.integer(3)});
  }
}

Status read_manifests(Database& database, std::int64_t id, RepositoryState& state) {
  TRY(Rows rows,
      database.query("SELECT digest, subject, added, pulled FROM manifests WHERE repository = ?",
                     id));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return {};
    state.manifests[rows.text(0)] = {
        .subject = rows.text(1), .added = rows.integer(2), .pulled = rows.integer(3)};
  }
}

Status read_children(Database& database, std::int64_t id, RepositoryState& state) {
  TRY(Rows rows, database.query("SELECT e.parent, e.child FROM manifests p "
                                "JOIN edges e ON e.parent = p.digest "
                                "JOIN manifests c ON c.repository = p.repository "
                                "AND c.digest = e.child WHERE p.repository = ?",
                                id));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return {};
    state.manifests[rows.text(0)].children.push_back(rows.text(1));
  }
}

Result<RepositoryState> state_of(Database& database, const std::string& name) {
  RepositoryState state{.name = name};
  TRY(const auto id, repository_id(database, name));
  if (!id) return state;
  TRY_OK(read_tags(database, *id, state));
  TRY_OK(read_manifests(database, *id, state));
  TRY_OK(read_children(database, *id, state));
  return state;
}

// Whether it still stood for the same.
Result<bool> take_tag(Database& database, std::int64_t id, const RepositoryState::Tag& tag) {
  TRY_OK(
      database.run("DELETE FROM tags WHERE repository = ? AND tag = ? AND digest = ? AND moved = ?",
                   id, tag.name, tag.digest, tag.moved));
  if (database.changes() == 0) return false;
  TRY_OK(database.run(
      "INSERT INTO tag_moves(repository, tag, before, after, at, actor) VALUES(?, ?, ?, '', ?, ?)",
      id, tag.name, tag.digest, seconds_now(), kActor));
  return true;
}

// Whether nobody needs it still. Tags of the form sha256-HEX.sig that stand for it go along.
Result<bool> take_manifest(Database& database, std::int64_t id, const Doomed::Manifest& manifest) {
  TRY_OK(
      database.run("DELETE FROM manifests WHERE repository = ?1 AND digest = ?2 AND added = ?3 "
                   "AND NOT EXISTS(SELECT 1 FROM tags t WHERE t.repository = ?1 AND t.digest = ?2 "
                   "AND t.tag NOT GLOB 'sha256-*') "
                   "AND NOT EXISTS(SELECT 1 FROM edges e JOIN manifests p ON p.digest = e.parent "
                   "AND p.repository = ?1 WHERE e.child = ?2)",
                   id, manifest.digest, manifest.added));
  if (database.changes() == 0) return false;
  TRY_OK(database.run(
      "INSERT INTO tag_moves(repository, tag, before, after, at, actor) "
      "SELECT repository, tag, digest, '', ?, ? FROM tags WHERE repository = ? AND digest = ?",
      seconds_now(), kActor, id, manifest.digest));
  TRY_OK(database.run("DELETE FROM tags WHERE repository = ? AND digest = ?", id, manifest.digest));
  return true;
}

// A part of what is doomed, so that no transaction is long: tags first.
Doomed next_part(Doomed& doomed) {
  Doomed part;
  const auto move = [](auto& from, auto& to, std::size_t most) {
    const std::size_t count = std::min(most, from.size());
    to.assign(std::make_move_iterator(from.begin()),
              std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(count)));
    from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  };
  move(doomed.tags, part.tags, kAtOnce);
  if (part.tags.empty()) move(doomed.manifests, part.manifests, kAtOnce);
  return part;
}

Status take_part(Database& database, const Outbox& outbox, const std::string& repository,
                 const Doomed& part, const Origin& origin, Doomed& gone) {
  TRY(const auto id, repository_id(database, repository));
  if (!id) return {};
  const Event event{.kind = Event::Kind::kDelete, .repository = repository, .origin = origin};
  for (const Doomed::Tag& tag : part.tags) {
    TRY(const bool taken, take_tag(database, *id, tag.tag));
    if (!taken) continue;
    Event told = event;
    told.tag = tag.tag.name;
    told.before = tag.tag.digest;
    TRY_OK(outbox.write(database, told));
    gone.tags.push_back(tag);
  }
  for (const Doomed::Manifest& manifest : part.manifests) {
    TRY(const bool taken, take_manifest(database, *id, manifest));
    if (!taken) continue;
    Event told = event;
    told.digest = manifest.digest;
    TRY_OK(outbox.write(database, told));
    gone.manifests.push_back(manifest);
  }
  return {};
}

std::vector<Pruned> pruned_of(const std::string& repository, const Doomed& doomed) {
  std::vector<Pruned> pruned;
  for (const Doomed::Tag& tag : doomed.tags) {
    pruned.push_back(
        {.repository = repository, .tag = tag.tag.name, .digest = tag.tag.digest, .why = tag.why});
  }
  for (const Doomed::Manifest& manifest : doomed.manifests)
    pruned.push_back({.repository = repository, .digest = manifest.digest, .why = manifest.why});
  return pruned;
}

}  // namespace

rt::Task<Result<std::vector<Pruned>>> Pruner::prune(rt::Op& op, PruneOptions options) {
  CO_TRY(const Rules own, RetentionRule::parse_all(options.rules));
  const Rules& rules = options.rules.empty() ? rules_ : own;
  std::vector<Pruned> all;
  if (rules.empty()) co_return all;
  CO_TRY(const auto names, co_await shelf_.read(op, repositories_of));
  for (const std::string& name : names) {
    if (std::ranges::none_of(rules, [&](const auto& rule) { return rule.is_for(name); })) continue;
    CO_TRY(auto pruned, co_await prune_one(op, name, rules, options));
    std::ranges::move(pruned, std::back_inserter(all));
  }
  co_return all;
}

rt::Task<Result<std::vector<Pruned>>> Pruner::prune_one(rt::Op& op, std::string repository,
                                                        const Rules& rules,
                                                        const PruneOptions& options) {
  CO_TRY(const RepositoryState state, co_await shelf_.read(op, [&](Database& database) {
    return state_of(database, repository);
  }));
  Doomed doomed = co_await rt::blocking(shelf_.loop(),
                                        [&] { return judge(state, rules, seconds_now(), grace_); });
  if (!options.dry_run) {
    const Origin origin{.actor = options.actor.empty() ? std::string(kActor) : options.actor};
    CO_TRY(doomed, co_await take(op, repository, std::move(doomed), origin));
  }
  co_return pruned_of(repository, doomed);
}

rt::Task<Result<Doomed>> Pruner::take(rt::Op& op, std::string repository, Doomed doomed,
                                      Origin origin) {
  Doomed gone;
  while (!doomed.tags.empty() || !doomed.manifests.empty()) {
    const Doomed part = next_part(doomed);
    Doomed taken;
    CO_TRY_OK(co_await shelf_.record(op, [&](Database& database) {
      taken = {};
      return take_part(database, outbox_, repository, part, origin, taken);
    }));
    for (const Doomed::Tag& tag : taken.tags)
      shelf_.tags.erase(Shelf::key(repository, tag.tag.name));
    for (const Doomed::Manifest& manifest : taken.manifests)
      shelf_.manifests.erase(Shelf::key(repository, manifest.digest));
    std::ranges::move(taken.tags, std::back_inserter(gone.tags));
    std::ranges::move(taken.manifests, std::back_inserter(gone.manifests));
  }
  outbox_.tell();
  co_return gone;
}

}  // namespace berth::depot
