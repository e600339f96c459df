// Models of which some was left out.
#include "store/store_fixture.h"

namespace berth::store {
namespace {

class PartialTest : public StoreTest {
 protected:
  const oci::Descriptor one_ = oci::describe("one", "application/weights");
  const oci::Descriptor two_ = oci::describe("two", "application/weights");
  const oci::Descriptor three_ = oci::describe("three", "application/weights");
  oci::Descriptor model_;
  void SetUp() override {
    StoreTest::SetUp();
    model_ = make_model(from_, {"one", "two", "three"});
  }

  // What a pull of all but `unwanted` does.
  Status pull_without(std::set<oci::Digest> unwanted) {
    for (const oci::Descriptor& blob : {oci::describe("{}", ""), one_, two_, three_}) {
      if (!unwanted.contains(blob.digest)) TRY_OK(put(blob));
    }
    TRY_OK(run(store_->put_without(op_, model_, from_, std::move(unwanted))));
    return run(store_->tag(op_, model_, reference("ai/a")));
  }
  std::set<oci::Digest> left_out() { return run(store_->left_out(op_, model_.digest)).value(); }
  bool has() { return run(store_->has(op_, model_)).value(); }
  bool has_without(std::set<oci::Digest> unwanted) {
    return run(store_->has_without(op_, model_, std::move(unwanted))).value();
  }
  std::vector<Finding> findings() {
    EXPECT_TRUE(run(store_->write_index(op_)));
    return run(store_->check(op_, {.read_data = true}, quiet_)).value().findings;
  }
};

TEST_F(PartialTest, IsHereForThoseWhoWantNoMore) {
  ASSERT_TRUE(pull_without({two_.digest, three_.digest}));
  EXPECT_FALSE(has());
  EXPECT_TRUE(has_without({two_.digest, three_.digest}));
  EXPECT_FALSE(has_without({three_.digest}));
  EXPECT_EQ(left_out(), (std::set<oci::Digest>{two_.digest, three_.digest}));
  EXPECT_FALSE(exists(two_.digest));
  ASSERT_TRUE(find("ai/a"));
  EXPECT_TRUE(find("ai/a")->record.partial);
  EXPECT_TRUE(list()[0].partial);
  EXPECT_TRUE(findings().empty());
}

TEST_F(PartialTest, WhatIsNotLeftOutMustBeHere) {
  const Status refused = run(store_->put_without(op_, model_, from_, {two_.digest}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_TRUE(list().empty());
}

TEST_F(PartialTest, WhatComesLaterIsNotLeftOutAnyMore) {
  ASSERT_TRUE(pull_without({two_.digest, three_.digest}));
  ASSERT_TRUE(pull_without({one_.digest, three_.digest}));
  EXPECT_EQ(left_out(), std::set<oci::Digest>{three_.digest});
  EXPECT_TRUE(exists(one_.digest));
  ASSERT_TRUE(bring(model_, "ai/a"));
  EXPECT_TRUE(left_out().empty());
  EXPECT_TRUE(has());
  EXPECT_FALSE(list()[0].partial);
  EXPECT_TRUE(findings().empty());
}

TEST_F(PartialTest, AnotherModelsBlobCompletesIt) {
  ASSERT_TRUE(pull_without({three_.digest}));
  const auto other = make_model(from_, {"three"});
  ASSERT_TRUE(bring(other, "ai/b"));
  EXPECT_TRUE(has());
  // From now on it is this model's, too.
  ASSERT_TRUE(run(store_->remove(op_, other.digest)));
  EXPECT_TRUE(exists(three_.digest));
  EXPECT_TRUE(findings().empty());
}

TEST_F(PartialTest, WhatIsHereAnywayIsNotLeftOut) {
  ASSERT_TRUE(put(three_));
  ASSERT_TRUE(pull_without({three_.digest}));
  EXPECT_TRUE(left_out().empty());
  EXPECT_TRUE(has());
}

TEST_F(PartialTest, ALossIsNoChoice) {
  ASSERT_TRUE(pull_without({three_.digest}));
  std::filesystem::remove(blob_file(one_.digest));
  EXPECT_FALSE(has_without({three_.digest}));
  EXPECT_FALSE(findings().empty());
  // Nor does what one model left out excuse another.
  ASSERT_TRUE(put(one_));
  EXPECT_FALSE(put(make_model(from_, {"three"})));
}

TEST_F(PartialTest, ADamagedManifestComesAgainWithoutWhatWasLeftOut) {
  ASSERT_TRUE(pull_without({three_.digest}));
  std::filesystem::remove(blob_file(model_.digest));
  EXPECT_FALSE(has_without({three_.digest}));
  ASSERT_TRUE(put(model_));
  EXPECT_TRUE(has_without({three_.digest}));
  EXPECT_TRUE(findings().empty());
}

TEST_F(PartialTest, IsPrunedAroundAndRemovedWhole) {
  ASSERT_TRUE(pull_without({three_.digest}));
  ASSERT_TRUE(run(store_->check_model(op_, model_.digest)));
  EXPECT_TRUE(run(store_->prune(op_, {})).value().blobs.empty());
  EXPECT_TRUE(has_without({three_.digest}));
  EXPECT_EQ(run(store_->remove(op_, model_.digest)).value().blobs.size(), 4u);
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(left_out().empty());
  EXPECT_TRUE(findings().empty());
}

// Whoever died when the file had its name, and not its row, has brought nothing.
TEST_F(PartialTest, AFileWithoutARowIsStillLeftOut) {
  ASSERT_TRUE(pull_without({three_.digest}));
  std::ofstream(blob_file(three_.digest)) << "three";
  std::filesystem::last_write_time(
      blob_file(three_.digest),
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  EXPECT_EQ(left_out(), std::set<oci::Digest>{three_.digest});
  EXPECT_FALSE(has());
  EXPECT_EQ(run(store_->prune(op_, {})).value().blobs, std::vector{three_.digest});
  EXPECT_FALSE(exists(three_.digest));
  EXPECT_TRUE(has_without({three_.digest}));
}

TEST_F(PartialTest, AnIndexMayStandForIt) {
  for (const oci::Descriptor& blob : {oci::describe("{}", ""), one_, two_}) ASSERT_TRUE(put(blob));
  ASSERT_TRUE(run(store_->put_without(op_, model_, from_, {three_.digest})));
  const auto index = make_index(from_, {make_model(from_, {"elsewhere"}), model_});
  ASSERT_TRUE(put(index));
  ASSERT_TRUE(run(store_->set_selected(op_, index.digest, model_.digest)));
  ASSERT_TRUE(run(store_->tag(op_, index, reference("ai/multi"))));
  EXPECT_TRUE(find("ai/multi")->record.partial);
  EXPECT_TRUE(findings().empty());
}

// What was left out is known to the catalogue alone: what cannot be told from a loss is no model.
TEST_F(PartialTest, IsNotRebuiltWithoutItsCatalogueAndComesAgain) {
  ASSERT_TRUE(pull_without({three_.digest}));
  store_.reset();
  for (const char* name : {"berth.db", "berth.db-wal", "berth.db-shm"})
    std::filesystem::remove(root() + "/" + name);
  open();
  EXPECT_TRUE(list().empty());
  from_.fetches = 0;
  ASSERT_TRUE(pull_without({three_.digest}));
  EXPECT_EQ(from_.fetches, 1);  // the manifest: its layers are here
  EXPECT_TRUE(list()[0].partial);
}

}  // namespace
}  // namespace berth::store
