#include "store/upgrade.h"

#include <gtest/gtest.h>

#include "store/schema.h"
#include "store/store_fixture.h"

namespace berth::store {
namespace {

constexpr SchemaStep kSteps[] = {
    {.from = 1, .sql = "ALTER TABLE models ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"},
    {.from = 2,
     .sql = "CREATE TABLE notes(id TEXT PRIMARY KEY); INSERT INTO notes SELECT id FROM models"}};

class UpgradeTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Database::open(folder_.path() + "/old.db", Database::Mode::kReadWrite);
    ASSERT_TRUE(opened);
    database_ = std::move(*opened);
    // What a Berth of version 1 left.
    ASSERT_TRUE(database_->script(
        "CREATE TABLE models(id TEXT PRIMARY KEY, added INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO models(id, added) VALUES('sha256:a', 7); PRAGMA user_version = 1"));
  }
  std::string one(const char* sql) {
    auto rows = database_->query(sql);
    if (!rows || !rows->next().value_or(false)) return "nothing";
    return rows->text(0);
  }
  TempFolder folder_;
  std::unique_ptr<Database> database_;
};

TEST_F(UpgradeTest, GoesThroughAllStepsAndKeepsWhatThereWas) {
  ASSERT_TRUE(upgrade(*database_, kSteps, 3));
  EXPECT_EQ(one("PRAGMA user_version"), "3");
  EXPECT_EQ(one("SELECT note FROM models WHERE id = 'sha256:a' AND added = 7"), "none");
  EXPECT_EQ(one("SELECT id FROM notes"), "sha256:a");
  ASSERT_TRUE(upgrade(*database_, kSteps, 3));  // the second process to come
}

TEST_F(UpgradeTest, AStepThatFailsLeavesTheOldVersionWhole) {
  const SchemaStep steps[] = {kSteps[0], {.from = 2, .sql = "CREATE TABLE models(x)"}};
  EXPECT_FALSE(upgrade(*database_, steps, 3));
  EXPECT_EQ(one("PRAGMA user_version"), "1");
  EXPECT_EQ(one("SELECT COUNT(*) FROM pragma_table_info('models') WHERE name = 'note'"), "0");
}

TEST_F(UpgradeTest, AMissingStepIsABugAndChangesNothing) {
  const auto done = upgrade(*database_, std::span(kSteps).first(1), 3);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kInternal);
  EXPECT_EQ(one("PRAGMA user_version"), "1");
}

// The tables of version 1, as they were: stores of that time have them.
constexpr const char* kVersion1 = R"sql(
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
INSERT INTO blobs VALUES('sha256:a', 3, 'm', 1, 7);
INSERT INTO edges VALUES('sha256:a', 'sha256:b', 5);
PRAGMA user_version = 1;
)sql";

class RealStepsTest : public testing::Test {
 protected:
  std::unique_ptr<Database> open(const std::string& name, std::vector<const char*> scripts) {
    auto opened = Database::open(folder_.path() + "/" + name, Database::Mode::kReadWrite);
    EXPECT_TRUE(opened);
    for (const char* script : scripts) EXPECT_TRUE((*opened)->script(script));
    return std::move(*opened);
  }
  static std::string schema_of(Database& database) {
    auto rows = database.query(
        "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT "
        "NULL ORDER BY name)");
    return rows && rows->next().value_or(false) ? rows->text(0) : "";
  }
  TempFolder folder_;
};

TEST_F(RealStepsTest, MakeOfAnOldCatalogueWhatANewOneIs) {
  const auto old = open("old.db", {kVersion1, kModelTables});
  ASSERT_TRUE(upgrade(*old, schema_steps(), kSchemaVersion));
  const auto fresh = open("fresh.db", {kBlobTables, kModelTables});
  EXPECT_EQ(schema_of(*old), schema_of(*fresh));
  auto rows = old->query("SELECT COUNT(*) FROM blobs b JOIN edges e ON e.parent = b.digest");
  ASSERT_TRUE(rows && rows->next().value_or(false));
  EXPECT_EQ(rows->integer(0), 1);
}

// Whoever raises the version must add a step.
TEST(SchemaSteps, LeadFromTheFirstVersionToThisOne) {
  EXPECT_EQ(static_cast<std::int64_t>(schema_steps().size()), kSchemaVersion - 1);
  std::int64_t version = 1;
  for (const SchemaStep& step : schema_steps()) EXPECT_EQ(step.from, version++);
}

}  // namespace
}  // namespace berth::store
