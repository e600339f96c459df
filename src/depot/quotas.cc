#include "depot/quotas.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "base/words.h"

namespace berth::depot {
namespace {

using store::Database;
using store::Rows;

constexpr std::string_view kEach = "each";

std::uint64_t at_least_zero(std::int64_t bytes) {
  return bytes < 0 ? 0 : static_cast<std::uint64_t>(bytes);
}

Result<std::uint64_t> held_by(Database& database, const std::string& repository) {
  TRY(Rows rows, database.query("SELECT bytes FROM repositories WHERE name = ?", repository));
  TRY(const bool found, rows.next());
  return found ? at_least_zero(rows.integer(0)) : 0;
}

struct Project {
  std::uint64_t bytes = 0;
  bool counts_it = false;  // the repository
};
Result<Project> project(Database& database, const std::string& pattern,
                        const std::string& repository) {
  TRY(Rows rows,
      database.query(
          "SELECT p.bytes, EXISTS(SELECT 1 FROM project_repositories m "
          "JOIN repositories r ON r.id = m.repository "
          "WHERE m.pattern = p.pattern AND r.name = ?) FROM projects p WHERE pattern = ?",
          repository, pattern));
  TRY(const bool found, rows.next());
  if (!found) return fail(Code::kInternal, "the project {} was not added up", pattern);
  return Project{.bytes = at_least_zero(rows.integer(0)), .counts_it = rows.integer(1) != 0};
}

Status join(Database& database, const std::string& pattern, std::int64_t id) {
  TRY_OK(database.run(
      "INSERT OR IGNORE INTO project_repositories(repository, pattern) VALUES(?, ?)", id, pattern));
  if (database.changes() == 0) return {};
  return database.run(
      "UPDATE projects SET bytes = bytes + (SELECT bytes FROM repositories WHERE id = ?) "
      "WHERE pattern = ?",
      id, pattern);
}

struct Repository {
  std::int64_t id = 0;
  std::string name;
};
Result<std::vector<Repository>> all_repositories(Database& database) {
  std::vector<Repository> all;
  TRY(Rows rows, database.query("SELECT id, name FROM repositories"));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return all;
    all.push_back({.id = rows.integer(0), .name = rows.text(1)});
  }
}

Result<std::set<std::string>> known_projects(Database& database) {
  std::set<std::string> known;
  TRY(Rows rows, database.query("SELECT pattern FROM projects"));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return known;
    known.insert(rows.text(0));
  }
}

}  // namespace

std::string Quotas::Quota::described() const {
  return fmt::format("{}{}", each ? "each of " : "", where.text());
}

Result<Quotas::Quota> Quotas::parse_one(const std::string& text) {
  std::vector<std::string> words = words_of(text);
  const bool each = !words.empty() && words.front() == kEach;
  if (each) words.erase(words.begin());
  const auto most = words.size() == 2 ? parse_size(words[1]) : std::nullopt;
  if (!most || *most > kNoQuota) {
    return fail(Code::kInvalid,
                "the quota \"{}\" is not \"[each] REPOSITORIES SIZE\", as in \"team/** 500GiB\"",
                printable(text, 150));
  }
  TRY(Glob where, Glob::parse(words[0]));
  return Quota{.where = std::move(where), .each = each, .most = *most};
}

Result<Quotas> Quotas::parse(const std::vector<std::string>& texts) {
  Quotas quotas;
  for (const std::string& text : texts) {
    TRY(Quota quota, parse_one(text));
    quotas.quotas_.push_back(std::move(quota));
  }
  return quotas;
}

Status Quotas::prepare(Database& database) const {
  std::set<std::string> wanted;
  for (const Quota& quota : quotas_)
    if (!quota.each) wanted.insert(quota.where.text());
  TRY(const std::set<std::string> known, known_projects(database));
  if (known == wanted) return {};
  TRY_OK(database.run("DELETE FROM projects"));
  for (const std::string& pattern : wanted)
    TRY_OK(database.run("INSERT INTO projects(pattern, bytes) VALUES(?, 0)", pattern));
  TRY(const auto repositories, all_repositories(database));
  for (const Quota& quota : quotas_) {
    for (const Repository& repository : repositories) {
      if (!quota.each && quota.where.matches_whole(repository.name))
        TRY_OK(join(database, quota.where.text(), repository.id));
    }
  }
  return {};
}

Result<std::uint64_t> Quotas::room(Database& database, const std::string& repository) const {
  std::uint64_t room = kNoQuota;
  for (const Quota& quota : quotas_) {
    if (!quota.where.matches_whole(repository)) continue;
    TRY(std::uint64_t held, held_by(database, repository));
    if (!quota.each) {
      TRY(const Project all, project(database, quota.where.text(), repository));
      held = all.bytes + (all.counts_it ? 0 : held);
    }
    room = std::min(room, quota.most - std::min(quota.most, held));
  }
  return room;
}

std::unexpected<Error> Quotas::refuse(const Quota& quota, const std::string& repository,
                                      std::uint64_t held, std::uint64_t bytes) {
  return fail(Code::kDenied,
              "{} may not grow by {}: the quota of {} is {}, and {} are held; delete or prune what "
              "is not needed, or ask who runs the registry for more",
              repository, format_size(bytes), quota.described(), format_size(quota.most),
              format_size(held));
}

Status Quotas::check(Database& database, const std::string& repository, std::uint64_t bytes) const {
  TRY(const std::uint64_t own, held_by(database, repository));
  for (const Quota& quota : quotas_) {
    if (!quota.where.matches_whole(repository)) continue;
    std::uint64_t held = own;
    if (!quota.each) {
      TRY(const Project all, project(database, quota.where.text(), repository));
      held = all.bytes + (all.counts_it ? 0 : own);
    }
    if (held > quota.most || bytes > quota.most - held)
      return refuse(quota, repository, held, bytes);
  }
  return {};
}

Status Quotas::enter(Database& database, std::int64_t id, const std::string& repository) const {
  for (const Quota& quota : quotas_) {
    if (!quota.each && quota.where.matches_whole(repository))
      TRY_OK(join(database, quota.where.text(), id));
  }
  return {};
}

}  // namespace berth::depot
