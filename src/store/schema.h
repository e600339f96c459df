// The tables of the catalogue. A change gets a new version and a step in upgrade.cc that brings an
// older one up (docs/dev/store.md).
#pragma once

#include <cstdint>

namespace berth::store {

inline constexpr std::int64_t kSchemaVersion = 2;

// What blobs.h works on: in every kind of catalogue.
inline constexpr const char* kBlobTables = R"sql(
CREATE TABLE blobs(
  digest TEXT PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT NOT NULL,
  document INTEGER NOT NULL,  -- 1: a manifest or index whose edges are known
  added INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE edges(
  parent TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE, child TEXT NOT NULL,
  size INTEGER NOT NULL, PRIMARY KEY(parent, child)) WITHOUT ROWID;
CREATE TABLE links(
  digest TEXT PRIMARY KEY REFERENCES blobs(digest) ON DELETE CASCADE, path TEXT NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, device INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE left_out(  -- children of a manifest that were not wanted and have not come since
  parent TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE, child TEXT NOT NULL,
  PRIMARY KEY(parent, child)) WITHOUT ROWID;
CREATE INDEX left_out_by_child ON left_out(child);
)sql";

inline constexpr const char* kModelTables = R"sql(
CREATE TABLE selections(
  target TEXT PRIMARY KEY REFERENCES blobs(digest) ON DELETE CASCADE, model TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE models(
  id TEXT PRIMARY KEY REFERENCES blobs(digest), added INTEGER NOT NULL,
  metadata TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE tags(
  name TEXT PRIMARY KEY, registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,
  target TEXT NOT NULL REFERENCES blobs(digest),
  model TEXT NOT NULL REFERENCES models(id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX tags_by_model ON tags(model);
CREATE INDEX tags_by_target ON tags(target);
CREATE TABLE sessions(id TEXT PRIMARY KEY, pid INTEGER NOT NULL, started INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE leases(
  session TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, number INTEGER NOT NULL,
  kind TEXT NOT NULL, PRIMARY KEY(session, number)) WITHOUT ROWID;
CREATE TABLE holds(
  session TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY(session, number, digest),
  FOREIGN KEY(session, number) REFERENCES leases(session, number) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX holds_by_digest ON holds(digest);
CREATE TABLE settings(
  namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(namespace, key)) WITHOUT ROWID;
)sql";

}  // namespace berth::store
