#include "fs/file.h"
#include "store/store_fixture.h"

namespace berth::store {
namespace {

using CollectorTest = StoreTest;

oci::Digest digest_of(const std::string& bytes) { return oci::Digest::of(as_bytes(bytes)); }

TEST_F(CollectorTest, RemoveTakesOnlyWhatNobodyElseNeeds) {
  const auto a = make_model(from_, {"shared", "a"});
  const auto b = make_model(from_, {"shared", "b"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(bring(b, "ai/b"));
  const Freed freed = run(store_->remove(op_, a.digest)).value();
  EXPECT_EQ(freed.models, std::vector{a.digest});
  EXPECT_EQ(freed.blobs.size(), 2U);
  EXPECT_GT(freed.bytes, 0U);
  EXPECT_FALSE(exists(digest_of("a")));
  EXPECT_TRUE(exists(digest_of("shared")));
  EXPECT_EQ(list().size(), 1U);
  EXPECT_EQ(ingests(), 0U);
  EXPECT_EQ(run(store_->remove(op_, a.digest)).error().code(), Code::kNotFound);
}

TEST_F(CollectorTest, RemoveTakesTheIndexToo) {
  const auto mine = make_model(from_, {"mine"});
  const auto index = make_index(from_, {mine});
  ASSERT_TRUE(bring(index, "ai/multi"));
  ASSERT_TRUE(run(store_->remove(op_, mine.digest)));
  EXPECT_FALSE(exists(index.digest));
  EXPECT_FALSE(exists(mine.digest));
}

TEST_F(CollectorTest, PruneTakesWhatNoModelNeeds) {
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "ai/a"));
  ASSERT_TRUE(put(from_.add("loose", "application/weights")));
  const Freed would = run(store_->prune(op_, {.dry_run = DryRun::kYes})).value();
  EXPECT_EQ(would.blobs, std::vector{digest_of("loose")});
  EXPECT_TRUE(exists(digest_of("loose")));
  const Freed freed = run(store_->prune(op_, {})).value();
  EXPECT_EQ(freed.blobs, would.blobs);
  EXPECT_EQ(freed.bytes, would.bytes);
  EXPECT_FALSE(exists(digest_of("loose")));
  EXPECT_TRUE(exists(digest_of("a")));
}

TEST_F(CollectorTest, PruneTakesLocksOfSessionsThatNeverWere) {
  const std::string fresh = root() + "/locks/session-00000000000000aa";
  const std::string old = root() + "/locks/session-00000000000000bb";
  const std::string held = root() + "/locks/session-00000000000000cc";
  const auto hours_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(2);
  for (const std::string& path : {fresh, old, held}) std::ofstream(path).put('x');
  for (const std::string& path : {old, held}) std::filesystem::last_write_time(path, hours_ago);
  const auto dir = fs::Dir::open(root()).value();
  const auto lock =
      fs::Lock::try_acquire(dir, "locks/session-00000000000000cc", fs::Lock::Mode::kExclusive);
  ASSERT_TRUE(lock && *lock);
  ASSERT_TRUE(run(store_->prune(op_, {})));
  EXPECT_TRUE(std::filesystem::exists(fresh));
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(held));
}

TEST_F(CollectorTest, PruneTakesUntaggedModelsWhenAsked) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/x"));
  ASSERT_TRUE(bring(make_model(from_, {"b"}), "ai/x"));
  EXPECT_TRUE(run(store_->prune(op_, {})).value().models.empty());
  const PruneOptions dry{.dry_run = DryRun::kYes, .untagged_models = Untagging::kRemove};
  EXPECT_EQ(run(store_->prune(op_, dry)).value().models, std::vector{a.digest});
  EXPECT_EQ(list().size(), 2U);
  EXPECT_EQ(run(store_->prune(op_, {.untagged_models = Untagging::kRemove})).value().models,
            std::vector{a.digest});
  EXPECT_EQ(list().size(), 1U);
  EXPECT_FALSE(exists(digest_of("a")));
}

TEST_F(CollectorTest, PruneTakesUnfinishedTransfers) {
  const auto blob = from_.add("weights", "application/weights");
  from_.corrupt(blob.digest, "weig");
  EXPECT_FALSE(put(blob));
  EXPECT_EQ(ingests(), 1U);
  const PruneOptions old{.partials_older_than = std::chrono::hours(1)};
  EXPECT_TRUE(run(store_->prune(op_, old)).value().ingests.empty());
  EXPECT_EQ(run(store_->prune(op_, {})).value().ingests, std::vector{blob.digest.string()});
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(CollectorTest, PurgeTakesAll) {
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "ai/a"));
  ASSERT_TRUE(bring(make_model(from_, {"b"}), "ai/b"));
  EXPECT_EQ(run(store_->purge(op_)).value().models.size(), 2U);
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(run(store_->usage(op_)).value().blobs.apparent, 0U);
}

TEST_F(CollectorTest, ATransferLeaseProtectsWhatIsTouched) {
  const auto before = from_.add("before", "application/weights");
  ASSERT_TRUE(put(before));
  {
    const Lease lease = run(store_->lease(op_, Lease::Kind::kTransfer, {})).value();
    ASSERT_TRUE(run(store_->has(op_, before)).value());
    ASSERT_TRUE(put(from_.add("during", "application/weights")));
    EXPECT_TRUE(run(store_->prune(op_, {})).value().blobs.empty());
    EXPECT_FALSE(run(store_->in_use(op_, before.digest)).value());
  }
  EXPECT_EQ(run(store_->prune(op_, {})).value().blobs.size(), 2U);
}

TEST_F(CollectorTest, ARunLeaseProtectsAndSaysSo) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  {
    Lease lease = run(store_->lease(op_, Lease::Kind::kRun, {a.digest})).value();
    const Lease moved = std::move(lease);
    EXPECT_TRUE(run(store_->in_use(op_, a.digest)).value());
    auto other = Store::open(loop(), {.root = root()}).value();
    EXPECT_TRUE(run(other->in_use(op_, a.digest)).value());
    EXPECT_TRUE(run(other->remove(op_, a.digest)).value().blobs.empty());
    EXPECT_TRUE(exists(digest_of("a")));
  }
  EXPECT_FALSE(run(store_->in_use(op_, a.digest)).value());
  EXPECT_EQ(run(store_->prune(op_, {})).value().blobs.size(), 3U);
}

TEST_F(CollectorTest, UsageCountsEverything) {
  ASSERT_TRUE(bring(make_model(from_, {std::string(100'000, 'a')}), "ai/a"));
  const Usage usage = run(store_->usage(op_)).value();
  EXPECT_GT(usage.blobs.apparent, 100'000U);
  EXPECT_GE(usage.blobs.allocated, 100'000U);
  EXPECT_GT(usage.catalogue.apparent, 0U);
  EXPECT_EQ(usage.ingest.apparent, 0U);
}

}  // namespace
}  // namespace berth::store
