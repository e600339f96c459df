// What every content::Target must do: one suite for the store, memory, registries and archives.
//
//   struct MemoryFixture { rt::Loop loop; MemoryTarget memory; content::Target& target() { return
//   memory; } }; INSTANTIATE_TYPED_TEST_SUITE_P(Memory, TargetSuite, MemoryFixture);
#pragma once

#include <gtest/gtest.h>
#include <string>

#include "content/copy.h"
#include "content/memory_target.h"
#include "oci/media_types.h"

namespace berth::content {

template <class Fixture>
class TargetSuite : public testing::Test {
 protected:
  Target& target() { return fixture_.target(); }
  template <class T>
  T run(Task<T> task) {
    return fixture_.loop.run(std::move(task));
  }
  oci::Descriptor model(const std::string& weights) {
    oci::Manifest manifest;
    manifest.media_type = oci::media::kManifest;
    manifest.config = from_.add("{}", "application/config+json");
    manifest.layers = {from_.add(weights, "application/weights")};
    return from_.add(oci::serialize(manifest), oci::media::kManifest);
  }
  Status copy(const oci::Descriptor& root) {
    return run(copy_graph(op_, fixture_.loop, from_, target(), root, quiet_, {}));
  }
  std::string read(const oci::Descriptor& blob) {
    return run(read_small(op_, target(), blob, 1 << 20)).value_or("absent");
  }
  static oci::Reference name(const std::string& text) { return oci::parse_reference(text).value(); }

  Fixture fixture_;
  rt::Op op_;
  MemoryTarget from_;
  NoProgress quiet_;
};

TYPED_TEST_SUITE_P(TargetSuite);

TYPED_TEST_P(TargetSuite, AGraphArrivesWhole) {
  const auto root = this->model("weights");
  ASSERT_TRUE(this->copy(root));
  for (const auto& [digest, bytes] : this->from_.blobs()) {
    EXPECT_EQ(this->read({.digest = digest, .size = bytes.size()}), bytes);
  }
  EXPECT_TRUE(this->run(this->target().has(this->op_, root)).value());
}

TYPED_TEST_P(TargetSuite, WhatIsNotThereIsNotFound) {
  const oci::Descriptor blob{
      .media_type = "w", .digest = oci::Digest::of(as_bytes("?")), .size = 1};
  EXPECT_FALSE(this->run(this->target().has(this->op_, blob)).value());
  EXPECT_EQ(this->run(this->target().fetch(this->op_, blob, {})).error().code(), Code::kNotFound);
  EXPECT_EQ(this->run(this->target().resolve(this->op_, this->name("ai/none"))).error().code(),
            Code::kNotFound);
}

TYPED_TEST_P(TargetSuite, PuttingTwiceIsSuccess) {
  const auto blob = this->from_.add("weights", "application/weights");
  ASSERT_TRUE(this->run(this->target().put(this->op_, blob, this->from_, this->quiet_)));
  EXPECT_TRUE(this->run(this->target().put(this->op_, blob, this->from_, this->quiet_)));
}

TYPED_TEST_P(TargetSuite, OtherBytesAreRefused) {
  const auto blob = this->from_.add("weights", "application/weights");
  this->from_.corrupt(blob.digest, "WEIGHTS");
  const Status status = this->run(this->target().put(this->op_, blob, this->from_, this->quiet_));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kDigestMismatch);
  EXPECT_FALSE(this->run(this->target().has(this->op_, blob)).value());
}

TYPED_TEST_P(TargetSuite, AManifestWaitsForItsChildren) {
  const auto root = this->model("weights");
  EXPECT_FALSE(this->run(this->target().put(this->op_, root, this->from_, this->quiet_)));
  EXPECT_FALSE(this->run(this->target().has(this->op_, root)).value());
}

TYPED_TEST_P(TargetSuite, ATagStandsForItsManifestAndMoves) {
  const auto a = this->model("a");
  const auto b = this->model("b");
  ASSERT_TRUE(this->copy(a));
  ASSERT_TRUE(this->copy(b));
  ASSERT_TRUE(this->run(this->target().tag(this->op_, a, this->name("ai/x"))));
  auto resolved = this->run(this->target().resolve(this->op_, this->name("ai/x"))).value();
  EXPECT_EQ(resolved.digest, a.digest);
  EXPECT_EQ(resolved.media_type, a.media_type);
  EXPECT_EQ(resolved.size, a.size);
  ASSERT_TRUE(this->run(this->target().tag(this->op_, b, this->name("ai/x"))));
  EXPECT_EQ(this->run(this->target().resolve(this->op_, this->name("ai/x"))).value().digest,
            b.digest);
}

TYPED_TEST_P(TargetSuite, RangesAreServed) {
  const auto blob = this->from_.add("0123456789", "application/weights");
  ASSERT_TRUE(this->run(this->target().put(this->op_, blob, this->from_, this->quiet_)));
  const auto source = this->run(this->target().fetch(this->op_, blob, {.offset = 4, .length = 3}));
  ASSERT_TRUE(source);
  std::string text(16, '\0');
  const auto count =
      this->run(source->reader->read(this->op_, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text.substr(0, count.value_or(0)), "456");
  EXPECT_EQ(this->run(this->target().fetch(this->op_, blob, {.offset = 11})).error().code(),
            Code::kBadRange);
}

TYPED_TEST_P(TargetSuite, ACancelledOpMovesNothing) {
  const auto blob = this->from_.add("weights", "application/weights");
  rt::Op op;
  op.cancel();
  EXPECT_FALSE(this->run(this->target().put(op, blob, this->from_, this->quiet_)));
  EXPECT_FALSE(this->run(this->target().has(this->op_, blob)).value());
}

REGISTER_TYPED_TEST_SUITE_P(TargetSuite, AGraphArrivesWhole, WhatIsNotThereIsNotFound,
                            PuttingTwiceIsSuccess, OtherBytesAreRefused,
                            AManifestWaitsForItsChildren, ATagStandsForItsManifestAndMoves,
                            RangesAreServed, ACancelledOpMovesNothing);

}  // namespace berth::content
