#include "depot/local_models.h"

#include <algorithm>

#include "base/text.h"

namespace berth::depot {
namespace {

std::int64_t signed_of(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX));
}
std::uint64_t unsigned_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

std::vector<std::string> parts_of(const std::string& text, char separator) {
  return text.empty() ? std::vector<std::string>() : split(text, separator);
}

Result<std::vector<ManifestPlace>> places_of(Rows rows) {
  std::vector<ManifestPlace> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    TRY(oci::Digest digest, store::stored_digest(rows.text(1)));
    found.push_back({.repository = rows.text(0), .digest = std::move(digest)});
  }
}

Status write(Database& database, const ManifestPlace& place,
             const std::optional<ModelFacts>& facts) {
  TRY(const auto id, repository_id(database, place.repository));
  if (!id) return {};
  const std::string& digest = place.digest.string();
  TRY_OK(database.run("UPDATE manifests SET looked_at = 1 WHERE repository = ? AND digest = ?", *id,
                      digest));
  if (database.changes() == 0 || !facts) return {};
  return database.run(
      "INSERT OR REPLACE INTO models(repository, digest, name, format, architecture, quantization, "
      "license, parameters, context_length, size, findings) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
      "?)",
      *id, digest, facts->name, facts->format, facts->architecture, facts->quantization,
      facts->license, signed_of(facts->parameters), signed_of(facts->context_length),
      signed_of(facts->size), fmt::format("{}", fmt::join(facts->findings, "\n")));
}

ModelRecord record_of(const Rows& rows) {
  return {.repository = rows.text(0),
          .digest = rows.text(1),
          .tags = parts_of(rows.text(2), ' '),
          .pushed = std::chrono::sys_seconds(std::chrono::seconds(rows.integer(3))),
          .facts = {.name = rows.text(4),
                    .format = rows.text(5),
                    .architecture = rows.text(6),
                    .quantization = rows.text(7),
                    .license = rows.text(8),
                    .parameters = unsigned_of(rows.integer(9)),
                    .context_length = unsigned_of(rows.integer(10)),
                    .size = unsigned_of(rows.integer(11)),
                    .findings = parts_of(rows.text(12), '\n')}};
}

bool is_or_any(const std::string& wanted, const std::string& value) {
  return wanted.empty() || iequals(wanted, value);
}

// A model with several licences has them in a list.
bool is_among_or_any(const std::string& wanted, const std::string& list) {
  return is_or_any(wanted, list) || std::ranges::any_of(split(list, ','), [&](const auto& one) {
           return iequals(wanted, trim(one));
         });
}

bool matches(const ModelQuery& query, const ModelRecord& record) {
  const ModelFacts& facts = record.facts;
  const std::string text =
      to_lower(fmt::format("{} {} {} {}", record.repository, fmt::join(record.tags, " "),
                           facts.name, facts.architecture));
  return is_or_any(query.architecture, facts.architecture) &&
         is_or_any(query.quantization, facts.quantization) &&
         is_or_any(query.format, facts.format) && is_among_or_any(query.license, facts.license) &&
         query.parameters.contains(facts.parameters) &&
         query.context_length.contains(facts.context_length) && query.size.contains(facts.size) &&
         std::ranges::all_of(query.words, [&](const std::string& word) {
           return text.find(to_lower(word)) != std::string::npos;
         });
}

Result<ModelPage> page_of(Rows rows, const ModelQuery& query) {
  ModelPage page;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return page;
    ModelRecord record = record_of(rows);
    if (!query.sees(record.repository) || !matches(query, record)) continue;
    if (page.models.size() == query.limit) {
      page.more = true;
      return page;
    }
    page.models.push_back(std::move(record));
  }
}

Result<Usage> weigh(Database& database, const std::string& repository) {
  Usage usage{.name = repository};
  TRY(const auto id, repository_id(database, repository));
  if (!id) return usage;
  TRY(Rows rows,
      database.query(
          "SELECT COALESCE(sum(b.size), 0), COALESCE(sum(CASE WHEN "
          "EXISTS(SELECT 1 FROM members o WHERE o.digest = b.digest AND o.repository <> ?1) OR "
          "EXISTS(SELECT 1 FROM manifests o WHERE o.digest = b.digest AND o.repository <> ?1) "
          "THEN b.size ELSE 0 END), 0) FROM blobs b WHERE b.digest IN ("
          "SELECT digest FROM members WHERE repository = ?1 UNION "
          "SELECT digest FROM manifests WHERE repository = ?1)",
          *id));
  TRY_OK(rows.next());
  usage.bytes = unsigned_of(rows.integer(0));
  usage.shared = unsigned_of(rows.integer(1));
  return usage;
}

Result<std::vector<Usage>> usages_of(Rows rows) {
  std::vector<Usage> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back({.name = rows.text(0),
                     .tags = parts_of(rows.text(1), ' '),
                     .bytes = unsigned_of(rows.integer(2)),
                     .shared = unsigned_of(rows.integer(3))});
  }
}

}  // namespace

rt::Task<Result<std::vector<ManifestPlace>>> LocalModels::not_looked_at(rt::Op& op,
                                                                        std::size_t limit) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<ManifestPlace>> {
    TRY(Rows rows, database.query("SELECT r.name, m.digest FROM manifests m "
                                  "JOIN repositories r ON r.id = m.repository "
                                  "WHERE m.looked_at = 0 LIMIT ?",
                                  static_cast<std::int64_t>(limit)));
    return places_of(std::move(rows));
  });
}

rt::Task<Status> LocalModels::keep(rt::Op& op, ManifestPlace place,
                                   std::optional<ModelFacts> facts) {
  co_return co_await shelf_.record(
      op, [&](Database& database) { return write(database, place, facts); });
}

rt::Task<Result<ModelPage>> LocalModels::search(rt::Op& op, ModelQuery query) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<ModelPage> {
    // CROSS JOIN: the repositories are the outer loop, so that the first page does not read all.
    TRY(Rows rows,
        database.query(
            "SELECT r.name, m.digest, COALESCE((SELECT group_concat(tag, ' ') FROM ("
            "SELECT tag FROM tags t WHERE t.repository = r.id AND t.digest = m.digest "
            "ORDER BY tag)), ''), f.added, m.name, m.format, m.architecture, m.quantization, "
            "m.license, m.parameters, m.context_length, m.size, m.findings "
            "FROM repositories r CROSS JOIN models m ON m.repository = r.id "
            "JOIN manifests f ON f.repository = m.repository AND f.digest = m.digest "
            "WHERE r.name >= ?1 AND (r.name > ?1 OR m.digest > ?2) AND (?3 = '' OR r.name = ?3) "
            "ORDER BY r.name, m.digest",
            query.last_repository, query.last_digest, query.repository));
    return page_of(std::move(rows), query);
  });
}

rt::Task<Result<std::vector<Usage>>> LocalModels::usage_of(rt::Op& op,
                                                           std::vector<std::string> repositories) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<Usage>> {
    std::vector<Usage> found;
    for (const std::string& repository : repositories) {
      TRY(Usage usage, weigh(database, repository));
      found.push_back(std::move(usage));
    }
    return found;
  });
}

rt::Task<Result<std::vector<Usage>>> LocalModels::usage_in(rt::Op& op, std::string repository,
                                                           PageRequest request) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<Usage>> {
    TRY(const auto id, repository_id(database, repository));
    if (!id) return std::vector<Usage>();
    TRY(Rows rows,
        database.query(
            "SELECT f.digest, COALESCE((SELECT group_concat(tag, ' ') FROM ("
            "SELECT tag FROM tags t WHERE t.repository = f.repository AND t.digest = f.digest "
            "ORDER BY tag)), ''), COALESCE(sum(b.size), 0), COALESCE(sum(CASE WHEN EXISTS("
            "SELECT 1 FROM edges o JOIN manifests g ON g.digest = o.parent WHERE "
            "o.child = b.digest AND (o.parent <> f.digest OR g.repository <> f.repository)) "
            "THEN b.size ELSE 0 END), 0) "
            "FROM manifests f LEFT JOIN edges e ON e.parent = f.digest "
            "LEFT JOIN blobs b ON b.digest = e.child "
            "WHERE f.repository = ? AND f.digest > ? GROUP BY f.digest ORDER BY f.digest LIMIT ?",
            *id, request.last, static_cast<std::int64_t>(request.limit)));
    return usages_of(std::move(rows));
  });
}

}  // namespace berth::depot
