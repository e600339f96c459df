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

// Whoever raises the version must add a step.
TEST(SchemaSteps, LeadFromTheFirstVersionToThisOne) {
  EXPECT_EQ(static_cast<std::int64_t>(schema_steps().size()), kSchemaVersion - 1);
  std::int64_t version = 1;
  for (const SchemaStep& step : schema_steps()) EXPECT_EQ(step.from, version++);
}

}  // namespace
}  // namespace berth::store
