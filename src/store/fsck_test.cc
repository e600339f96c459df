#include <fcntl.h>
#include <random>
#include <sqlite3.h>
#include <sys/stat.h>

#include "store/store_fixture.h"

namespace berth::store {
namespace {

using Kind = Finding::Kind;

class FsckTest : public StoreTest {
 protected:
  CheckReport check(bool read_data = false) {
    auto report = run(store_->check(op_, {.read_data = read_data}, quiet_));
    EXPECT_TRUE(report) << report.error().message();
    return report ? *report : CheckReport{};
  }
  static bool has(const CheckReport& report, Kind kind, const std::string& what) {
    return std::ranges::any_of(
        report.findings, [&](const Finding& one) { return one.kind == kind && one.what == what; });
  }
  static std::size_t wrong(const CheckReport& report) {
    return static_cast<std::size_t>(
        std::ranges::count_if(report.findings, [](const Finding& one) { return !one.harmless; }));
  }
  void overwrite(const std::string& path, const std::string& bytes) {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  void flip(const std::string& path, std::size_t bit) {
    std::string bytes = read_file(path);
    bytes.at(bit / 8) = static_cast<char>(bytes.at(bit / 8) ^ (1 << (bit % 8)));
    overwrite(path, bytes);
  }
  void sql(const char* text) {
    store_.reset();
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((root() + "/berth.db").c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, text, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
    open();
  }
};

TEST_F(FsckTest, AWholeStoreHasNoFindings) {
  ASSERT_TRUE(bring(make_model(from_, {"one", "two"}), "ai/a"));
  ASSERT_TRUE(run(store_->write_index(op_)));
  const CheckReport report = check(true);
  EXPECT_TRUE(report.findings.empty()) << report.findings[0].message;
  EXPECT_EQ(report.blobs, 4u);
  EXPECT_EQ(report.read, 8u);  // "one", "two" and "{}"; the manifest was read by the survey
}

TEST_F(FsckTest, EachSingleFlippedBitIsFound) {
  const std::string weights(5000, 'w');
  const auto model = make_model(from_, {weights});
  ASSERT_TRUE(bring(model, "ai/a"));
  const auto layer = oci::describe(weights, "");
  std::mt19937 random(7);
  for (int turn = 0; turn < 40; ++turn) {
    const bool manifest = turn % 4 == 0;
    const oci::Digest& digest = manifest ? model.digest : layer.digest;
    const std::size_t bits = 8 * (manifest ? model.size : layer.size);
    const std::size_t bit = std::uniform_int_distribution<std::size_t>(0, bits - 1)(random);
    flip(blob_file(digest), bit);
    const CheckReport report = check(true);
    EXPECT_TRUE(has(report, Kind::kDamaged, digest.string())) << "bit " << bit;
    EXPECT_EQ(wrong(report), 1u);
    flip(blob_file(digest), bit);
  }
  EXPECT_EQ(wrong(check(true)), 0u);
}

TEST_F(FsckTest, AMissingOrShortenedBlobNamesItsModels) {
  const auto model = make_model(from_, {"weights"});
  ASSERT_TRUE(bring(model, "ai/a"));
  ASSERT_TRUE(bring(model, "ai/b"));
  const auto layer = oci::describe("weights", "");
  overwrite(blob_file(layer.digest), "short");
  CheckReport report = check();
  ASSERT_TRUE(has(report, Kind::kWrongSize, layer.digest.string()));
  EXPECT_EQ(report.findings[0].models,
            (std::vector<std::string>{"docker.io/ai/a:latest", "docker.io/ai/b:latest"}));
  EXPECT_EQ(report.findings[0].sources.size(), 2u);
  EXPECT_TRUE(has(report, Kind::kTag, "docker.io/ai/a:latest"));

  std::filesystem::remove(blob_file(layer.digest));
  report = check();
  EXPECT_TRUE(has(report, Kind::kMissing, layer.digest.string()));
}

TEST_F(FsckTest, WhatIsSetAsideCanComeAgain) {
  const auto model = make_model(from_, {"weights"});
  ASSERT_TRUE(bring(model, "ai/a"));
  const auto layer = oci::describe("weights", "application/weights");
  flip(blob_file(layer.digest), 3);
  ASSERT_TRUE(run(store_->set_aside(op_, layer)));
  EXPECT_FALSE(exists(layer.digest));
  EXPECT_FALSE(run(store_->has(op_, model)).value());
  ASSERT_TRUE(put(layer));
  EXPECT_TRUE(check(true).findings.empty());
}

TEST_F(FsckTest, ARightBlobIsNotSetAside) {
  ASSERT_TRUE(bring(make_model(from_, {"weights"}), "ai/a"));
  const auto layer = oci::describe("weights", "");
  ASSERT_TRUE(run(store_->set_aside(op_, layer)));
  EXPECT_TRUE(exists(layer.digest));
}

TEST_F(FsckTest, LostEdgesComeBackFromTheManifest) {
  const auto model = make_model(from_, {"weights"});
  ASSERT_TRUE(bring(model, "ai/a"));
  sql("DELETE FROM edges");
  const CheckReport report = check();
  ASSERT_TRUE(has(report, Kind::kRecord, model.digest.string()));
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  EXPECT_EQ(wrong(check()), 0u);
  EXPECT_EQ(list().at(0).size, 9u);
}

TEST_F(FsckTest, LostRowsComeBackFromTheFiles) {
  ASSERT_TRUE(bring(make_model(from_, {"weights"}), "ai/a"));
  const auto layer = oci::describe("weights", "");
  sql("DELETE FROM blobs WHERE media_type = 'application/weights'");
  CheckReport report = check();
  EXPECT_TRUE(has(report, Kind::kUnlisted, layer.digest.string()));
  EXPECT_TRUE(has(report, Kind::kMissing, layer.digest.string()));
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  report = check(true);
  EXPECT_EQ(wrong(report), 0u);
  EXPECT_TRUE(exists(layer.digest));
}

TEST_F(FsckTest, AnOldFileThatIsNotWhatItsNameSaysGoes) {
  const auto stray = oci::describe("stray", "");
  overwrite(blob_file(stray.digest), "other");
  CheckReport report = check();
  ASSERT_TRUE(has(report, Kind::kUnlisted, stray.digest.string()));
  EXPECT_EQ(wrong(report), 0u);
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  EXPECT_TRUE(exists(stray.digest));  // another tool may still be writing it
  const timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
  ASSERT_EQ(::utimensat(AT_FDCWD, blob_file(stray.digest).c_str(), old, 0), 0);
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  EXPECT_FALSE(exists(stray.digest));
}

TEST_F(FsckTest, ADamagedLogIsWrittenAnewAndBearsARebuild) {
  const auto a = make_model(from_, {"a"});
  const auto b = make_model(from_, {"b"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(bring(b, "ai/b"));
  ASSERT_TRUE(run(store_->untag(op_, reference("ai/b"))));
  flip(root() + "/refs.log", 100);
  const CheckReport report = check();
  ASSERT_TRUE(has(report, Kind::kLog, "refs.log"));
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  EXPECT_EQ(wrong(check()), 0u);
  store_.reset();
  for (const char* name : {"berth.db", "berth.db-wal", "berth.db-shm"})
    std::filesystem::remove(root() + "/" + name);
  open();
  EXPECT_EQ(find("ai/a")->record.id, a.digest);
  const auto untagged = find(b.digest.string());
  ASSERT_TRUE(untagged);
  EXPECT_TRUE(untagged->record.tags.empty());
}

TEST_F(FsckTest, AFlippedBitInTheViewIsFoundAndMended) {
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "ai/a"));
  ASSERT_TRUE(run(store_->write_index(op_)));
  flip(root() + "/index.json", 77);
  const CheckReport report = check();
  ASSERT_TRUE(has(report, Kind::kIndex, "index.json"));
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  EXPECT_TRUE(check().findings.empty());
}

TEST_F(FsckTest, WhatTheDeadLeftIsToldAndHarmless) {
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "ai/a"));
  sql("INSERT INTO sessions(id, pid, started) VALUES('00000000deadbeef', 1, 1)");
  std::filesystem::create_directory(root() + "/ingest/sha256-" + std::string(64, 'a'));
  std::ofstream(root() + "/notes.txt") << "mine";
  CheckReport report = check();
  EXPECT_TRUE(has(report, Kind::kSession, "00000000deadbeef"));
  EXPECT_TRUE(has(report, Kind::kIngest, "sha256:" + std::string(64, 'a')));
  EXPECT_TRUE(has(report, Kind::kForeign, "notes.txt"));
  EXPECT_EQ(wrong(report), 0u);
  ASSERT_TRUE(run(store_->mend(op_, report.findings)));
  report = check();
  EXPECT_FALSE(has(report, Kind::kSession, "00000000deadbeef"));
  EXPECT_TRUE(std::filesystem::exists(root() + "/notes.txt"));
}

TEST_F(FsckTest, AnIndexMayNameWhatNeverCame) {
  const auto mine = make_model(from_, {"mine"});
  const auto index = make_index(from_, {make_model(from_, {"other"}), mine});
  ASSERT_TRUE(bring(mine, ""));
  ASSERT_TRUE(put(index));
  ASSERT_TRUE(run(store_->set_selected(op_, index.digest, mine.digest)));
  ASSERT_TRUE(run(store_->tag(op_, index, reference("ai/multi"))));
  EXPECT_TRUE(check(true).findings.empty());
}

TEST_F(FsckTest, AHalfWrittenViewOfTheDeadIsPruned) {
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "ai/a"));
  std::ofstream(root() + "/.index.json.new.1.1") << "half";
  ASSERT_TRUE(run(store_->prune(op_, {})));
  EXPECT_FALSE(std::filesystem::exists(root() + "/.index.json.new.1.1"));
}

TEST_F(FsckTest, AReadOnlyStoreIsCheckedAndNotMended) {
  ASSERT_TRUE(bring(make_model(from_, {"weights"}), "ai/a"));
  flip(blob_file(oci::describe("weights", "").digest), 1);
  open(true);
  const CheckReport report = check(true);
  EXPECT_EQ(wrong(report), 1u);
  EXPECT_EQ(run(store_->mend(op_, report.findings)).error().code(), Code::kDenied);
}

}  // namespace
}  // namespace berth::store
