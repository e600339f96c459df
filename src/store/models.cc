#include "store/models.h"

#include <map>

#include "base/failpoint.h"
#include "oci/media_types.h"
#include "store/refs_log.h"

namespace berth::store {
namespace {

constexpr const char* kSelectTags =
    "SELECT registry, repository, tag, digest, target, model FROM tags ORDER BY name";
constexpr const char* kSelectTag =
    "SELECT registry, repository, tag, digest, target, model FROM tags WHERE name = ?";

// A name with a digest and a tag is kept as the tag.
oci::Reference as_kept(oci::Reference reference) {
  if (!reference.tag.empty()) reference.digest.reset();
  return reference;
}

Result<TagRow> tag_row(const Rows& rows) {
  oci::Reference reference{
      .registry = rows.text(0), .repository = rows.text(1), .tag = rows.text(2)};
  if (const std::string digest = rows.text(3); !digest.empty()) {
    TRY(reference.digest, stored_digest(digest));
  }
  TRY(oci::Digest target, stored_digest(rows.text(4)));
  TRY(oci::Digest model, stored_digest(rows.text(5)));
  return TagRow{
      .reference = std::move(reference), .target = std::move(target), .model = std::move(model)};
}

Result<Record> record(const Rows& rows) {
  Record result;
  TRY(result.id, stored_digest(rows.text(0)));
  result.media_type = rows.text(1);
  result.added = std::chrono::sys_seconds(std::chrono::seconds(rows.integer(2)));
  result.metadata = rows.text(3);
  result.size = static_cast<std::uint64_t>(rows.integer(4));
  result.partial = rows.integer(5) != 0;
  return result;
}

Status add_tags(Database& database, std::vector<Record>& records) {
  std::map<oci::Digest, Record*> by_id;
  for (Record& one : records) by_id[one.id] = &one;
  TRY(auto tags, list_tags(database));
  for (TagRow& row : tags) {
    if (const auto found = by_id.find(row.model); found != by_id.end()) {
      found->second->tags.push_back(std::move(row.reference));
    }
  }
  return {};
}

Result<std::vector<oci::Digest>> digests(Rows rows) {
  std::vector<oci::Digest> result;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return result;
    TRY(oci::Digest digest, stored_digest(rows.text(0)));
    result.push_back(std::move(digest));
  }
}

std::string_view last_component(std::string_view repository) {
  return repository.substr(repository.rfind('/') + 1);
}

std::unexpected<Error> ambiguous(const std::string& text,
                                 const std::vector<std::string>& candidates) {
  std::string list;
  for (const std::string& one : candidates) list += (list.empty() ? "" : ", ") + one;
  return fail(Code::kConflict, "\"{}\" can mean several models here ({}): say which",
              printable(text, 120), list);
}

Result<std::optional<Found>> found(Database& database, const oci::Digest& id,
                                   std::optional<oci::Reference> tag) {
  TRY(auto model, find_model(database, id));
  if (!model) return std::nullopt;
  return Found{.record = std::move(*model), .tag = std::move(tag)};
}

Result<std::optional<Found>> find_by_id(Database& database, const std::string& text,
                                        const oci::IdPrefix& prefix) {
  for (const char* algorithm : {"sha256:", "sha512:"}) {
    const std::string from = algorithm + prefix.hex;
    TRY(Rows rows,
        database.query("SELECT id FROM models WHERE id >= ? AND id < ? LIMIT 3", from, from + "g"));
    TRY(const auto ids, digests(std::move(rows)));
    if (ids.size() > 1) {
      std::vector<std::string> names;
      for (const oci::Digest& id : ids) names.push_back(id.string());
      return ambiguous(text, names);
    }
    if (ids.size() == 1) return found(database, ids.front(), std::nullopt);
    // The digest of an index that a tag stands for names the model, too.
    TRY(Rows indexes,
        database.query("SELECT DISTINCT model FROM tags WHERE target >= ? AND target < ? LIMIT 2",
                       from, from + "g"));
    TRY(const auto models, digests(std::move(indexes)));
    if (models.size() == 1) return found(database, models.front(), std::nullopt);
  }
  return std::nullopt;
}

Result<std::optional<Found>> find_by_digest(Database& database, const oci::Digest& digest) {
  TRY(auto direct, found(database, digest, std::nullopt));
  if (direct) return direct;
  TRY(const auto model, model_of(database, digest));
  return model ? found(database, *model, std::nullopt) : Result<std::optional<Found>>(std::nullopt);
}

// "smollm2" finds example.com/team/smollm2:latest, as Docker Model Runner does, when only one model
// answers to it.
Result<std::optional<Found>> find_by_last_component(Database& database, const std::string& text,
                                                    const oci::Reference& wanted,
                                                    const oci::ReferenceDefaults& defaults) {
  TRY(const auto tags, list_tags(database));
  std::optional<TagRow> hit;
  bool several = false;
  std::vector<std::string> names;
  for (const TagRow& row : tags) {
    if (row.reference.tag != wanted.tag) continue;
    if (last_component(row.reference.repository) != last_component(wanted.repository)) continue;
    names.push_back(row.reference.familiar(defaults));
    several = several || (hit && hit->model != row.model);
    if (!hit) hit = row;
  }
  if (several) return ambiguous(text, names);
  if (!hit) return std::nullopt;
  return found(database, hit->model, hit->reference);
}

Result<std::optional<Found>> find_by_reference(Database& database, const oci::ModelName& name,
                                               const oci::ReferenceDefaults& defaults) {
  const oci::Reference& wanted = *name.reference;
  if (wanted.digest) return find_by_digest(database, *wanted.digest);
  TRY(const auto exact, find_tag(database, wanted));
  if (exact) return found(database, exact->model, exact->reference);
  if (name.text.find('/') != std::string::npos) return std::nullopt;
  return find_by_last_component(database, name.text, wanted, defaults);
}

Result<std::int64_t> tags_left(Database& database, const oci::Digest& model) {
  TRY(Rows rows, database.query("SELECT COUNT(*) FROM tags WHERE model = ?", model.string()));
  TRY_OK(rows.next());
  return rows.integer(0);
}

}  // namespace

Result<std::vector<Record>> list_models(Database& database) {
  std::vector<Record> records;
  {
    TRY(Rows rows,
        database.query("SELECT m.id, b.media_type, m.added, m.metadata, "
                       "(SELECT COALESCE(SUM(size), 0) FROM edges WHERE parent = m.id), "
                       "EXISTS (SELECT 1 FROM left_out WHERE parent = m.id) "
                       "FROM models m JOIN blobs b ON b.digest = m.id ORDER BY m.added, m.id"));
    for (;;) {
      TRY(const bool more, rows.next());
      if (!more) break;
      TRY(Record one, record(rows));
      records.push_back(std::move(one));
    }
  }
  TRY_OK(add_tags(database, records));
  return records;
}

Result<std::optional<Record>> find_model(Database& database, const oci::Digest& id) {
  TRY(Rows rows, database.query("SELECT m.id, b.media_type, m.added, m.metadata, "
                                "(SELECT COALESCE(SUM(size), 0) FROM edges WHERE parent = m.id), "
                                "EXISTS (SELECT 1 FROM left_out WHERE parent = m.id) "
                                "FROM models m JOIN blobs b ON b.digest = m.id WHERE m.id = ?",
                                id.string()));
  TRY(const bool here, rows.next());
  if (!here) return std::nullopt;
  TRY(Record result, record(rows));
  TRY(Rows tags, database.query("SELECT registry, repository, tag, digest, target, model FROM tags "
                                "WHERE model = ? ORDER BY name",
                                id.string()));
  for (;;) {
    TRY(const bool more, tags.next());
    if (!more) return result;
    TRY(TagRow row, tag_row(tags));
    result.tags.push_back(std::move(row.reference));
  }
}

Result<std::optional<Found>> find_by_name(Database& database, const oci::ModelName& name,
                                          const oci::ReferenceDefaults& defaults) {
  if (name.id) {
    TRY(auto by_id, find_by_id(database, name.text, *name.id));
    if (by_id) return by_id;
  }
  if (!name.reference) return std::nullopt;
  return find_by_reference(database, name, defaults);
}

Result<std::optional<TagRow>> find_tag(Database& database, const oci::Reference& reference) {
  TRY(Rows rows, database.query(kSelectTag, as_kept(reference).string()));
  TRY(const bool here, rows.next());
  if (!here) return std::nullopt;
  TRY(TagRow row, tag_row(rows));
  return row;
}

Result<std::vector<TagRow>> list_tags(Database& database) {
  std::vector<TagRow> result;
  TRY(Rows rows, database.query(kSelectTags));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return result;
    TRY(TagRow row, tag_row(rows));
    result.push_back(std::move(row));
  }
}

Status insert_model(Database& database, const oci::Digest& id, std::chrono::sys_seconds added) {
  return database.run("INSERT INTO models(id, added) VALUES(?, ?) ON CONFLICT DO NOTHING",
                      id.string(), static_cast<std::int64_t>(added.time_since_epoch().count()));
}

Status insert_tag(Database& database, const TagRow& row) {
  const oci::Reference& name = row.reference;
  return database.run(
      "INSERT OR REPLACE INTO tags(name, registry, repository, tag, digest, target, model) "
      "VALUES(?, ?, ?, ?, ?, ?, ?)",
      name.string(), name.registry, name.repository, name.tag,
      name.digest ? name.digest->string() : std::string(), row.target.string(), row.model.string());
}

Status set_tag(Database& database, const Layout& layout, const oci::Descriptor& target,
               const oci::Reference& reference) {
  TRY(const bool whole, complete(database, layout, target.digest));
  TRY(const auto model, model_of(database, target.digest));
  if (!whole || !model) {
    return fail(Code::kConflict,
                "cannot tag {} as {}: it or something that it names is not in the store",
                target.digest.string(), reference.string());
  }
  const TagRow row{.reference = as_kept(reference), .target = target.digest, .model = *model};
  TRY_OK(insert_model(database, row.model, now()));
  TRY_OK(insert_tag(database, row));
  BERTH_FAILPOINT("store.tag.before_log");
  return append_moves(layout.root(), {{.kind = RefMove::Kind::kTag,
                                       .time = now(),
                                       .target = row.target,
                                       .model = row.model,
                                       .reference = row.reference}});
}

Result<Untagged> remove_tag(Database& database, const Layout& layout,
                            const oci::Reference& reference) {
  TRY(const auto row, find_tag(database, reference));
  if (!row) return fail(Code::kNotFound, "no model is tagged {} here", reference.string());
  TRY_OK(database.run("DELETE FROM tags WHERE name = ?", row->reference.string()));
  BERTH_FAILPOINT("store.untag.before_log");
  TRY_OK(
      append_moves(layout.root(),
                   {{.kind = RefMove::Kind::kUntag, .time = now(), .reference = row->reference}}));
  TRY(const std::int64_t left, tags_left(database, row->model));
  return Untagged{.id = row->model, .last = left == 0};
}

Result<std::vector<oci::Digest>> remove_model(Database& database, const Layout& layout,
                                              const oci::Digest& id) {
  TRY(Rows rows, database.query("SELECT DISTINCT target FROM tags WHERE model = ?", id.string()));
  TRY(std::vector<oci::Digest> targets, digests(std::move(rows)));
  TRY_OK(database.run("DELETE FROM models WHERE id = ?", id.string()));
  if (database.changes() == 0) return fail(Code::kNotFound, "no model {} is here", id.string());
  BERTH_FAILPOINT("store.remove.before_log");
  TRY_OK(
      append_moves(layout.root(), {{.kind = RefMove::Kind::kRemove, .time = now(), .model = id}}));
  targets.push_back(id);
  return targets;
}

Result<std::vector<oci::Digest>> remove_models(Database& database, const Layout& layout,
                                               Which which, DryRun dry_run) {
  TRY(Rows rows,
      database.query("SELECT id FROM models WHERE ? OR id NOT IN (SELECT model FROM tags)",
                     std::int64_t{which == Which::kAll}));
  TRY(auto ids, digests(std::move(rows)));
  std::vector<RefMove> moves;
  for (const oci::Digest& id : ids) {
    TRY_OK(database.run("DELETE FROM models WHERE id = ?", id.string()));
    moves.push_back({.kind = RefMove::Kind::kRemove, .time = now(), .model = id});
  }
  if (dry_run == DryRun::kNo) TRY_OK(append_moves(layout.root(), moves));
  return ids;
}

Status select_model(Database& database, const Layout& layout, const oci::Digest& index,
                    const oci::Digest& manifest) {
  TRY(const auto index_row, find_row(database, index));
  TRY(const auto row, find_row(database, manifest));
  if (!index_row || !oci::media::is_index(index_row->media_type) || !row || !row->document ||
      oci::media::is_index(row->media_type)) {
    return fail(Code::kConflict, "cannot choose {} from the index {}: both must be in the store",
                manifest.string(), index.string());
  }
  TRY_OK(database.run("INSERT OR REPLACE INTO selections(target, model) VALUES(?, ?)",
                      index.string(), manifest.string()));
  TRY(Rows rows, database.query("SELECT name FROM tags WHERE target = ? LIMIT 1", index.string()));
  TRY(const bool tagged, rows.next());
  if (tagged) {
    TRY_OK(insert_model(database, manifest, now()));
    TRY_OK(database.run("UPDATE tags SET model = ? WHERE target = ?", manifest.string(),
                        index.string()));
  }
  return append_moves(
      layout.root(),
      {{.kind = RefMove::Kind::kSelect, .time = now(), .target = index, .model = manifest}});
}

Status set_model_metadata(Database& database, const oci::Digest& id, const std::string& metadata) {
  TRY_OK(database.run("UPDATE models SET metadata = ? WHERE id = ?", metadata, id.string()));
  if (database.changes() == 0) return fail(Code::kNotFound, "no model {} is here", id.string());
  return {};
}

}  // namespace berth::store
