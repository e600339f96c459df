#include "remote/quirks.h"

#include <gtest/gtest.h>

namespace berth::remote {
namespace {

TEST(Quirks, TableByHost) {
  EXPECT_EQ(quirks_of("ghcr.io").chunks, Quirks::Chunks::kNever);
  EXPECT_EQ(quirks_of("123.dkr.ecr.eu-west-1.amazonaws.com").chunks, Quirks::Chunks::kNever);
  EXPECT_EQ(quirks_of("europe-docker.pkg.dev").chunks, Quirks::Chunks::kNever);
  EXPECT_EQ(quirks_of("eu.gcr.io").chunks, Quirks::Chunks::kNever);
  EXPECT_EQ(quirks_of("gcr.io").chunks, Quirks::Chunks::kNever);
  EXPECT_EQ(quirks_of("me.azurecr.io").max_blob_text, "200 GiB");
  EXPECT_EQ(quirks_of("registry-1.docker.io").chunks, Quirks::Chunks::kFallback);
}

TEST(Quirks, AnotherHostThatEndsAlikeIsAnotherHost) {
  EXPECT_EQ(quirks_of("notghcr.io").chunks, Quirks::Chunks::kFallback);
  EXPECT_EQ(quirks_of("notgcr.io").chunks, Quirks::Chunks::kFallback);
}

}  // namespace
}  // namespace berth::remote
