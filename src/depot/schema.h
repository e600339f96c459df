// The tables of a registry's catalogue beside those of its blobs (store/schema.h);
// docs/dev/depot.md.
#pragma once

#include "store/catalog.h"

namespace berth::depot {

inline constexpr std::string_view kCatalogueFile = "registry.db";
inline constexpr std::int64_t kSchemaVersion = 2;

// What version 1 consists of. A blob or manifest can be seen in a repository when it has a row
// here. Times are seconds since 1970.
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

// What version 2 adds: what repositories hold in bytes (blobs and manifests, each counted in every
// repository that shows it), kept by triggers so that a quota costs two rows to check; when a
// manifest was last asked for; and events with those who are still to be told of them.
inline constexpr const char* kVersion2 = R"sql(
ALTER TABLE repositories ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifests ADD COLUMN pulled INTEGER NOT NULL DEFAULT 0;  -- 0: never
UPDATE repositories SET bytes =
  (SELECT COALESCE(sum(b.size), 0) FROM members m JOIN blobs b ON b.digest = m.digest
   WHERE m.repository = repositories.id) +
  (SELECT COALESCE(sum(b.size), 0) FROM manifests f JOIN blobs b ON b.digest = f.digest
   WHERE f.repository = repositories.id);
CREATE TRIGGER member_comes AFTER INSERT ON members BEGIN
  UPDATE repositories SET bytes = bytes + (SELECT size FROM blobs WHERE digest = NEW.digest)
  WHERE id = NEW.repository; END;
CREATE TRIGGER member_goes AFTER DELETE ON members BEGIN
  UPDATE repositories SET bytes = bytes - (SELECT size FROM blobs WHERE digest = OLD.digest)
  WHERE id = OLD.repository; END;
CREATE TRIGGER manifest_comes AFTER INSERT ON manifests BEGIN
  UPDATE repositories SET bytes = bytes + (SELECT size FROM blobs WHERE digest = NEW.digest)
  WHERE id = NEW.repository; END;
CREATE TRIGGER manifest_goes AFTER DELETE ON manifests BEGIN
  UPDATE repositories SET bytes = bytes - (SELECT size FROM blobs WHERE digest = OLD.digest)
  WHERE id = OLD.repository; END;
CREATE TABLE projects(pattern TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;  -- that a quota is for
CREATE TABLE project_repositories(
  repository INTEGER NOT NULL REFERENCES repositories(id),
  pattern TEXT NOT NULL REFERENCES projects(pattern) ON DELETE CASCADE,
  PRIMARY KEY(repository, pattern)) WITHOUT ROWID;
CREATE TRIGGER repository_grows AFTER UPDATE OF bytes ON repositories BEGIN
  UPDATE projects SET bytes = bytes + NEW.bytes - OLD.bytes
  WHERE pattern IN (SELECT pattern FROM project_repositories WHERE repository = NEW.id); END;
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,  -- milliseconds since 1970
  kind TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,
  before TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, actor TEXT NOT NULL,
  peer TEXT NOT NULL, address TEXT NOT NULL, method TEXT NOT NULL, user_agent TEXT NOT NULL,
  request TEXT NOT NULL);
CREATE TABLE deliveries(  -- of events that an endpoint has not taken yet
  endpoint TEXT NOT NULL, event INTEGER NOT NULL REFERENCES events(id) ON DELETE CASCADE,
  attempts INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0, fault TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(endpoint, dead, event)) WITHOUT ROWID;
CREATE INDEX deliveries_by_event ON deliveries(event);
)sql";

const store::Schema& schema();

}  // namespace berth::depot
