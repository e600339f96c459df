#include "content/copy.h"

#include <gtest/gtest.h>

#include "content/memory_target.h"
#include "oci/media_types.h"

namespace berth::content {
namespace {

struct Recorder : Progress {
  std::map<Event::Kind, int> counts;
  void on(const Event& event) override { ++counts[event.kind]; }
};

class CopyTest : public testing::Test {
 protected:
  oci::Descriptor make_manifest(MemoryTarget& target, std::vector<oci::Descriptor> layers) {
    oci::Manifest manifest;
    manifest.media_type = oci::media::kManifest;
    manifest.config = target.add("{}", "application/config+json");
    manifest.layers = std::move(layers);
    return target.add(oci::serialize(manifest), oci::media::kManifest);
  }
  oci::Descriptor make_index(MemoryTarget& target, std::vector<oci::Descriptor> manifests) {
    oci::Index index;
    index.media_type = oci::media::kIndex;
    index.manifests = std::move(manifests);
    return target.add(oci::serialize(index), oci::media::kIndex);
  }
  Status copy(const oci::Descriptor& root, CopyOptions options = {}) {
    return loop_.run(copy_graph(op_, loop_, from_, to_, root, progress_, std::move(options)));
  }

  rt::Loop loop_;
  rt::Op op_;
  MemoryTarget from_;
  MemoryTarget to_;
  Recorder progress_;
};

TEST_F(CopyTest, MovesEverythingBelowTheRoot) {
  const auto root = make_manifest(from_, {from_.add("weights", "w"), from_.add("licence", "l")});
  ASSERT_TRUE(copy(root));
  EXPECT_EQ(to_.blobs(), from_.blobs());
  EXPECT_EQ(progress_.counts[Event::Kind::kDone], 3);
}

TEST_F(CopyTest, ABlobWantedTwiceMovesOnce) {
  const auto weights = from_.add("weights", "w");
  ASSERT_TRUE(copy(make_manifest(from_, {weights, weights})));
  EXPECT_EQ(progress_.counts[Event::Kind::kDone], 2);
}

TEST_F(CopyTest, WhatTheDestinationLostBelowAManifestIsBroughtBackWhenAskedTo) {
  const auto weights = from_.add("weights", "w");
  const auto root = make_manifest(from_, {weights});
  ASSERT_TRUE(copy(root));
  to_.remove(weights.digest);
  ASSERT_TRUE(copy(root));
  EXPECT_FALSE(to_.blobs().contains(weights.digest)) << "it is taken to be complete";
  ASSERT_TRUE(copy(root, {.look_below = true}));
  EXPECT_EQ(to_.blobs(), from_.blobs());
  EXPECT_EQ(progress_.counts[Event::Kind::kDone], 3) << "two at first, one again";
}

// Takes a manifest whatever of it is here.
struct Lenient : MemoryTarget {
  rt::Task<Status> put(rt::Op& op, oci::Descriptor blob, Fetcher& from, Progress&) override {
    CO_TRY(std::string bytes, co_await read_small(op, from, blob, oci::kMaxManifestBytes));
    add(std::move(bytes), blob.media_type);
    co_return Status();
  }
};

TEST_F(CopyTest, UnwantedBlobsStayWhereTheyAre) {
  const auto weights = from_.add("weights", "w");
  const auto licence = from_.add("licence", "l");
  const auto root = make_index(from_, {make_manifest(from_, {weights, licence})});
  Lenient to;
  CopyOptions options;
  options.wants = [&](const oci::Descriptor& blob) { return blob.digest != weights.digest; };
  ASSERT_TRUE(loop_.run(copy_graph(op_, loop_, from_, to, root, progress_, options)));
  EXPECT_FALSE(to.blobs().contains(weights.digest));
  EXPECT_EQ(to.blobs().size(), from_.blobs().size() - 1);
  EXPECT_EQ(progress_.counts[Event::Kind::kStart], 2);  // licence and config
  // A destination that needs all says so.
  EXPECT_FALSE(copy(root, options));
}

TEST_F(CopyTest, WhatIsThereAsksNothingOfTheSource) {
  const auto root = make_manifest(from_, {from_.add("weights", "w")});
  ASSERT_TRUE(copy(root));
  from_.fetches = 0;
  ASSERT_TRUE(copy(root));
  EXPECT_EQ(from_.fetches, 0);
}

TEST_F(CopyTest, ALyingSourceLeavesNoManifest) {
  const auto weights = from_.add("weights", "w");
  const auto root = make_manifest(from_, {weights});
  from_.corrupt(weights.digest, "weightz");
  const Status status = copy(root);
  EXPECT_EQ(status.error().code(), Code::kDigestMismatch);
  EXPECT_FALSE(to_.blobs().contains(root.digest));
  EXPECT_FALSE(to_.blobs().contains(weights.digest));
}

TEST_F(CopyTest, InspectionStopsBeforeABlobMoves) {
  const auto root = make_manifest(from_, {from_.add("weights", "w")});
  const Status status =
      copy(root, {.inspect = [](const oci::Descriptor&, const oci::Manifest&) -> Status {
             return fail(Code::kUnsupported, "not a model");
           }});
  EXPECT_EQ(status.error().message(), "not a model");
  EXPECT_TRUE(to_.blobs().empty());
}

TEST_F(CopyTest, SelectChoosesChildrenOfAnIndex) {
  const auto a = make_manifest(from_, {from_.add("a", "w")});
  const auto b = make_manifest(from_, {from_.add("b", "w")});
  const auto root = make_index(from_, {a, b});
  (void)copy(root,
             {.select = [&](const oci::Descriptor& child) { return child.digest == a.digest; }});
  EXPECT_TRUE(to_.blobs().contains(a.digest));
  EXPECT_FALSE(to_.blobs().contains(b.digest));
}

TEST_F(CopyTest, EndlessNestingIsRefused) {
  oci::Descriptor root = make_manifest(from_, {});
  for (int i = 0; i < 12; ++i) root = make_index(from_, {root});
  EXPECT_EQ(copy(root).error().code(), Code::kInvalid);
}

TEST_F(CopyTest, CancelEndsIt) {
  const auto root = make_manifest(from_, {from_.add("weights", "w")});
  op_.cancel();
  EXPECT_EQ(copy(root).error().code(), Code::kCancelled);
}

Task<Result<std::string>> read(rt::Op& op, Fetcher& from, oci::Descriptor blob) {
  return read_small(op, from, std::move(blob), 100);
}

TEST_F(CopyTest, ReadSmallTakesMemoryForWhatComesOnly) {
  auto blob = from_.add("hello", "t");
  blob.size = std::uint64_t{1} << 45;
  EXPECT_EQ(loop_.run(content::read_small(op_, from_, blob, blob.size)).error().code(),
            Code::kDigestMismatch);
  const std::string larger(100'000, 'x');
  EXPECT_EQ(loop_.run(content::read_small(op_, from_, from_.add(larger, "t"), 200'000)).value(),
            larger);
}

TEST_F(CopyTest, ReadSmallBoundsAndVerifies) {
  auto blob = from_.add("hello", "t");
  EXPECT_EQ(loop_.run(read(op_, from_, blob)).value(), "hello");
  blob.size = 4;  // longer than announced
  EXPECT_EQ(loop_.run(read(op_, from_, blob)).error().code(), Code::kDigestMismatch);
  blob.size = 101;
  EXPECT_EQ(loop_.run(read(op_, from_, blob)).error().code(), Code::kTooLarge);
}

}  // namespace
}  // namespace berth::content
