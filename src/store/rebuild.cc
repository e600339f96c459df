#include "store/rebuild.h"

#include <map>
#include <set>

#include "base/log.h"
#include "oci/media_types.h"
#include "store/index_view.h"
#include "store/models.h"
#include "store/refs_log.h"

namespace berth::store {
namespace {

// What names stand for, before it is known whether all of it is here.
struct Claims {
  std::map<std::string, TagRow> tags;                      // by name
  std::map<oci::Digest, std::chrono::sys_seconds> models;  // by arrival
  std::map<oci::Digest, oci::Digest> selections;           // index -> manifest
  std::map<oci::Digest, std::string> media_types;          // where something tells
};

void apply(Claims& claims, const RefMove& move) {
  switch (move.kind) {
    case RefMove::Kind::kTag:
      claims.models.emplace(*move.model, move.time);
      claims.tags.insert_or_assign(
          move.reference->string(),
          TagRow{.reference = *move.reference, .target = *move.target, .model = *move.model});
      return;
    case RefMove::Kind::kUntag:
      claims.tags.erase(move.reference->string());
      return;
    case RefMove::Kind::kRemove:
      claims.models.erase(*move.model);
      std::erase_if(claims.tags,
                    [&](const auto& entry) { return entry.second.model == *move.model; });
      return;
    case RefMove::Kind::kSelect:
      claims.selections.insert_or_assign(*move.target, *move.model);
      for (auto& [name, row] : claims.tags) {
        if (row.target != *move.target) continue;
        row.model = *move.model;
        claims.models.emplace(*move.model, move.time);
      }
      return;
  }
}

Result<Claims> read_claims(const Layout& layout) {
  Claims claims;
  TRY(const RefMoves log, read_moves(layout.root()));
  for (const RefMove& move : log.moves) apply(claims, move);
  if (log.damaged_lines > 0) {
    log::warning("{} lines of {}/refs.log are damaged and were left out", log.damaged_lines,
                 layout.root().path());
  }
  const auto view = read_index_view(layout);
  if (!view) return claims;  // a view only; the log is what counts
  for (const IndexEntry& entry : *view) {
    claims.media_types.emplace(entry.blob.digest, entry.blob.media_type);
    if (!log.moves.empty() || !entry.reference) continue;
    claims.models.emplace(entry.blob.digest, now());
    claims.tags.emplace(entry.reference->string(), TagRow{.reference = *entry.reference,
                                                          .target = entry.blob.digest,
                                                          .model = entry.blob.digest});
  }
  return claims;
}

// The media type of a document that nobody described: its own field, else what its members say.
std::string sniff(const std::string& bytes) {
  const auto value = json::parse(bytes, "manifest", {.bytes = oci::kMaxManifestBytes});
  if (!value || !value->is_object()) return {};
  const json::View view(*value, "manifest");
  if (const auto type = view.string_or("mediaType", ""); type && !type->empty()) return *type;
  if (view.find("manifests")) return std::string(oci::media::kIndex);
  if (view.find("config")) return std::string(oci::media::kManifest);
  return {};
}

class Rebuild {
 public:
  Rebuild(Database& database, const Layout& layout, Claims claims)
      : database_(database), layout_(layout), claims_(std::move(claims)) {}

  Status run() {
    TRY_OK(insert_blobs());
    for (const auto& [id, added] : claims_.models) TRY_OK(insert_documents(id));
    for (const auto& [name, row] : claims_.tags) TRY_OK(insert_documents(row.target));
    TRY_OK(insert_selections());
    TRY_OK(insert_models());
    return insert_tags();
  }

 private:
  Status insert_blobs() {
    TRY(const auto blobs, layout_.list_blobs());
    for (const oci::Digest& digest : blobs) {
      TRY(const auto info, layout_.find_blob(digest));
      if (!info || !info->is_regular) continue;
      TRY_OK(insert_row(database_, {.digest = digest, .size = info->size}, {}, now()));
      // A link, or what may be one: the record is lost, so its content is looked at before it is
      // used.
      if (info->links == 1 && (info->mode & 0222U) == 0) continue;
      TRY_OK(
          save_link(database_, digest, {.path = "a file outside the store", .size = info->size}));
    }
    return {};
  }

  Status insert_documents(const oci::Digest& root) {
    std::vector<oci::Digest> open = {root};
    while (!open.empty()) {
      const oci::Digest at = std::move(open.back());
      open.pop_back();
      if (!seen_.insert(at).second) continue;
      const auto told = claims_.media_types.find(at);
      const auto document =
          read_document(layout_, at, told == claims_.media_types.end() ? "" : told->second);
      if (!document) continue;
      TRY_OK(insert_row(database_, document->blob, document->children, now()));
      for (const oci::Descriptor& child : document->children) {
        if (!oci::media::is_manifest(child.media_type) && !oci::media::is_index(child.media_type))
          continue;
        claims_.media_types.emplace(child.digest, child.media_type);
        open.push_back(child.digest);
      }
    }
    return {};
  }

  Status insert_selections() {
    for (const auto& [index, model] : claims_.selections) {
      TRY(const auto row, find_row(database_, index));
      if (!row || !row->document) continue;
      TRY_OK(database_.run("INSERT INTO selections(target, model) VALUES(?, ?)", index.string(),
                           model.string()));
    }
    return {};
  }

  Status insert_models() {
    for (const auto& [id, added] : claims_.models) {
      TRY(const auto row, find_row(database_, id));
      if (row && oci::media::is_index(row->media_type)) continue;  // its tag brings the manifest
      TRY(const bool whole, complete(database_, layout_, id));
      if (whole) {
        TRY_OK(insert_model(database_, id, added));
      } else {
        log::warning("the model {} is incomplete and was left out: pull or package it again",
                     id.string());
      }
    }
    return {};
  }

  Status insert_tags() {
    for (auto& [name, row] : claims_.tags) {
      TRY(const bool whole, complete(database_, layout_, row.target));
      TRY(const auto model, model_of(database_, row.target));
      if (!whole || !model) {
        log::warning("{} was left out, as its model is incomplete: pull or package it again", name);
        continue;
      }
      row.model = *model;
      TRY_OK(insert_model(database_, row.model, now()));
      TRY_OK(insert_tag(database_, row));
    }
    return {};
  }

  Database& database_;
  const Layout& layout_;
  Claims claims_;
  std::set<oci::Digest> seen_;
};

}  // namespace

std::optional<Document> read_document(const Layout& layout, const oci::Digest& digest,
                                      std::string media_type) {
  auto bytes = layout.root().read_small(Layout::blob_name(digest), oci::kMaxManifestBytes);
  if (!bytes) return std::nullopt;
  if (oci::Digest::of(as_bytes(*bytes), digest.algorithm()) != digest) {
    log::warning("the manifest {} is damaged and was left out", digest.string());
    return std::nullopt;
  }
  if (media_type.empty()) media_type = sniff(*bytes);
  auto children = oci::children(*bytes, media_type);
  if (!children || !(oci::media::is_manifest(media_type) || oci::media::is_index(media_type)))
    return std::nullopt;
  return Document{
      .blob = {.media_type = std::move(media_type), .digest = digest, .size = bytes->size()},
      .children = std::move(*children)};
}

Status rebuild(Database& database, const Layout& layout) {
  TRY(const auto blobs, layout.list_blobs());
  if (blobs.empty()) return {};
  log::info("the catalogue of {} is gone and is rebuilt from its blobs", layout.root().path());
  TRY(Claims claims, read_claims(layout));
  return Rebuild(database, layout, std::move(claims)).run();
}

}  // namespace berth::store
