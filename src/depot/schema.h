// The tables of a registry's catalogue beside those of its blobs (store/schema.h);
// docs/dev/depot.md.
#pragma once

#include "store/catalog.h"

namespace berth::depot {

inline constexpr std::string_view kCatalogueFile = "registry.db";
inline constexpr std::int64_t kSchemaVersion = 1;

// A blob or manifest can be seen in a repository when it has a row here. Times are seconds since
// 1970.
inline constexpr const char* kTables = R"sql(
CREATE TABLE repositories(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL);
CREATE TABLE members(
  repository INTEGER NOT NULL REFERENCES repositories(id), digest TEXT NOT NULL REFERENCES blobs(digest),
  added INTEGER NOT NULL, PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX members_by_digest ON members(digest);
CREATE TABLE manifests(
  repository INTEGER NOT NULL REFERENCES repositories(id), digest TEXT NOT NULL REFERENCES blobs(digest),
  media_type TEXT NOT NULL, artifact_type TEXT NOT NULL, subject TEXT NOT NULL,  -- '' for none
  descriptor TEXT NOT NULL,  -- as a list of referrers shows it
  looked_at INTEGER NOT NULL DEFAULT 0,  -- 1: if it is a model, it has a row in models
  added INTEGER NOT NULL, PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX manifests_not_looked_at ON manifests(repository, digest) WHERE looked_at = 0;
CREATE TABLE models(  -- what headers and config say; '' and 0 for what they do not
  repository INTEGER NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, format TEXT NOT NULL,
  architecture TEXT NOT NULL, quantization TEXT NOT NULL, license TEXT NOT NULL,
  parameters INTEGER NOT NULL, context_length INTEGER NOT NULL, size INTEGER NOT NULL,
  findings TEXT NOT NULL,  -- one a line
  PRIMARY KEY(repository, digest),
  FOREIGN KEY(repository, digest) REFERENCES manifests(repository, digest) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX edges_by_child ON edges(child);
CREATE INDEX manifests_by_digest ON manifests(digest);
CREATE INDEX manifests_by_subject ON manifests(repository, subject, digest) WHERE subject <> '';
CREATE TABLE tags(
  repository INTEGER NOT NULL REFERENCES repositories(id), tag TEXT NOT NULL, digest TEXT NOT NULL,
  moved INTEGER NOT NULL, PRIMARY KEY(repository, tag)) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags(repository, digest);
CREATE TABLE tag_moves(
  id INTEGER PRIMARY KEY, repository INTEGER NOT NULL REFERENCES repositories(id), tag TEXT NOT NULL,
  before TEXT NOT NULL, after TEXT NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL);
CREATE INDEX tag_moves_by_tag ON tag_moves(repository, tag, id);
)sql";

const store::Schema& schema();

}  // namespace berth::depot
