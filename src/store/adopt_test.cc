#include <sys/stat.h>

#include "store/blobs.h"
#include "store/catalog.h"
#include "store/store_fixture.h"

namespace berth::store {
namespace {

class AdoptTest : public StoreTest {
 protected:
  Result<Adopted> adopt(const std::string& path, Adoption mode = Adoption::kReflinkOrCopy) {
    return run(store_->adopt(op_, path, mode, quiet_));
  }
  std::string original(const std::string& bytes) const {
    return folder_.write("model.gguf", bytes);
  }
};

TEST_F(AdoptTest, CopiesInOnePass) {
  const std::string bytes(9'000'000, 'w');
  const auto adopted = adopt(original(bytes)).value();
  EXPECT_EQ(adopted.digest, oci::Digest::of(as_bytes(bytes)));
  EXPECT_EQ(adopted.size, bytes.size());
  EXPECT_NE(adopted.way, Adopted::Way::kLinked);
  EXPECT_EQ(read_file(blob_file(adopted.digest)), bytes);
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(AdoptTest, TheCopyIsIndependent) {
  const auto adopted = adopt(original("weights")).value();
  original("changed");
  EXPECT_EQ(read_file(blob_file(adopted.digest)), "weights");
  EXPECT_TRUE(run(store_->check_linked(op_, adopted.digest)));
}

TEST_F(AdoptTest, WhatIsHereIsNotKeptTwice) {
  ASSERT_TRUE(adopt(original("weights")));
  EXPECT_EQ(adopt(original("weights")).value().way, Adopted::Way::kAlreadyHere);
  EXPECT_EQ(to_string(Adopted::Way::kAlreadyHere), "already here");
}

TEST_F(AdoptTest, TakesAnEmptyFile) { EXPECT_EQ(adopt(original("")).value().size, 0U); }

TEST_F(AdoptTest, RefusesWhatIsNoFile) {
  EXPECT_EQ(adopt(folder_.path()).error().code(), Code::kInvalid);
  EXPECT_EQ(adopt(folder_.path() + "/absent").error().code(), Code::kNotFound);
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(AdoptTest, ProgressNamesTheFile) {
  struct Last : content::Progress {
    content::Event last{};
    void on(const content::Event& event) override { last = event; }
  } progress;
  ASSERT_TRUE(run(store_->adopt(op_, original("weights"), Adoption::kReflinkOrCopy, progress)));
  EXPECT_EQ(progress.last.current, 7U);
  EXPECT_EQ(progress.last.blob.size, 7U);
  EXPECT_EQ(progress.last.blob.annotation(oci::annotation::kTitle), "model.gguf");
}

TEST_F(AdoptTest, RefusesAFileThatChangesMeanwhile) {
  struct Writer : content::Progress {
    std::string path;
    void on(const content::Event&) override { std::ofstream(path, std::ios::app) << "more"; }
  } writer;
  writer.path = original("weights");
  const auto adopted = run(store_->adopt(op_, writer.path, Adoption::kReflinkOrCopy, writer));
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().code(), Code::kConflict);
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(AdoptTest, ALinkTakesNoSpace) {
  const std::string path = original("weights");
  const auto adopted = adopt(path, Adoption::kLink).value();
  EXPECT_EQ(adopted.way, Adopted::Way::kLinked);
  struct stat a = {};
  struct stat b = {};
  ASSERT_EQ(::stat(path.c_str(), &a), 0);
  ASSERT_EQ(::stat(blob_file(adopted.digest).c_str(), &b), 0);
  EXPECT_EQ(a.st_ino, b.st_ino);
  EXPECT_TRUE(run(store_->check_linked(op_, adopted.digest)));
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(AdoptTest, AFreshLinkIsNotSuspect) {
  const auto adopted = adopt(original("weights"), Adoption::kLink).value();
  auto layout = Layout::open(root(), Layout::Access::kReadWrite).value();
  auto catalog = Catalog::open(layout).value();
  const auto found = catalog->read([&](Database& database) {
    return presence(database, layout, {.digest = adopted.digest, .size = 7});
  });
  EXPECT_EQ(found.value(), Presence::kHere);  // else it would be read a second time
}

TEST_F(AdoptTest, AChangedLinkIsCorruptAndNamesItsFile) {
  const std::string path = original("weights");
  const auto adopted = adopt(path, Adoption::kLink).value();
  original("WEIGHTS");  // in place, the same size
  const Status status = run(store_->check_linked(op_, adopted.digest));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kCorrupt);
  EXPECT_NE(status.error().message().find(path), std::string::npos) << status.error().message();
  EXPECT_FALSE(run(store_->has(op_, {.digest = adopted.digest, .size = 7})).value());
  original("longer than before");
  EXPECT_EQ(run(store_->check_linked(op_, adopted.digest)).error().code(), Code::kCorrupt);
}

TEST_F(AdoptTest, ATouchedLinkIsReadAgain) {
  const std::string path = original("weights");
  const auto adopted = adopt(path, Adoption::kLink).value();
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_TRUE(run(store_->check_linked(op_, adopted.digest)));
  EXPECT_TRUE(run(store_->has(op_, {.digest = adopted.digest, .size = 7})).value());
}

TEST_F(AdoptTest, CheckModelLooksAtEveryLayer) {
  const std::string path = original("weights");
  const auto adopted = adopt(path, Adoption::kLink).value();
  const auto model = make_model(from_, {"weights"});
  ASSERT_TRUE(bring(model, "ai/x"));
  EXPECT_TRUE(run(store_->check_model(op_, model.digest)));
  original("WEIGHTS");
  EXPECT_EQ(run(store_->check_model(op_, model.digest)).error().code(), Code::kCorrupt);
}

TEST_F(AdoptTest, AnOwnCopyReplacesALink) {
  const std::string path = original("weights");
  const auto adopted = adopt(path, Adoption::kLink).value();
  EXPECT_EQ(adopt(path).value().way, Adopted::Way::kCopied);
  original("WEIGHTS");
  EXPECT_EQ(read_file(blob_file(adopted.digest)), "weights");
  EXPECT_TRUE(run(store_->check_linked(op_, adopted.digest)));
}

TEST_F(AdoptTest, AChangedLinkIsHealedByBringingTheBlobAgain) {
  const std::string path = original("weights");
  const auto adopted = adopt(path, Adoption::kLink).value();
  original("WEIGHTS");
  ASSERT_TRUE(put(from_.add("weights", "application/weights")));
  EXPECT_EQ(read_file(blob_file(adopted.digest)), "weights");
  EXPECT_EQ(read_file(path), "WEIGHTS");
}

TEST_F(AdoptTest, RemovingALinkKeepsTheFileAndFreesNothing) {
  const std::string path = original("weights");
  ASSERT_TRUE(adopt(path, Adoption::kLink));
  const Freed freed = run(store_->prune(op_, {})).value();
  EXPECT_EQ(freed.blobs.size(), 1U);
  EXPECT_EQ(freed.bytes, 0U);
  EXPECT_EQ(read_file(path), "weights");
}

TEST_F(AdoptTest, RefusesToLinkAcrossFileSystems) {
  if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "no second file system here";
  std::string path = "/dev/shm/berth-adopt-XXXXXX";
  ::close(::mkstemp(path.data()));
  const auto adopted = adopt(path, Adoption::kLink);
  std::filesystem::remove(path);
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().code(), Code::kUnsupported);
}

TEST_F(AdoptTest, RefusesToLinkAnothersFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make another's file";
  const std::string path = original("weights");
  ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  EXPECT_EQ(adopt(path, Adoption::kLink).error().code(), Code::kDenied);
}

}  // namespace
}  // namespace berth::store
