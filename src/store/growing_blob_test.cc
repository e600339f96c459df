#include "store/growing_blob.h"

#include <array>
#include <gtest/gtest.h>

#include "fs/file.h"
#include "store/temp_folder.h"

namespace berth::store {
namespace {

constexpr std::uint64_t kUnit = 100'000;
constexpr std::uint64_t kSize = 250'000;

class GrowingBlobTest : public testing::Test {
 protected:
  GrowingBlobTest()
      : file_(fs::Dir::open(folder_.path()).value().create_new("data").value()),
        blob_(std::make_shared<GrowingBlob>(
            loop_, oci::Descriptor{.digest = oci::Digest::of({}), .size = kSize})) {}

  void open(Journal::Extents held = {0, 0, 0}) {
    ASSERT_TRUE(file_.truncate(kSize));
    ASSERT_TRUE(blob_->opened(file_, std::move(held), kUnit));
  }
  Result<std::size_t> read(rt::Reader& reader) {
    rt::Op op;
    rt::Op hurried(op, std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
    return loop_.run(reader.read(hurried, buffer_));
  }
  bool waits(rt::Reader& reader) {
    const auto count = read(reader);
    return !count && count.error().code() == Code::kTimeout;
  }

  TempFolder folder_;
  rt::Loop loop_{1};
  fs::File file_;
  std::array<std::byte, kSize> buffer_{};
  std::shared_ptr<GrowingBlob> blob_;
};

TEST_F(GrowingBlobTest, GivesWhatIsThereInARow) {
  open();
  const auto reader = blob_->reader(10, kSize);
  EXPECT_TRUE(waits(*reader));
  blob_->landed(1, 50);  // behind a gap
  EXPECT_TRUE(waits(*reader));
  blob_->landed(0, kUnit);
  EXPECT_EQ(read(*reader).value(), kUnit + 50 - 10);
  EXPECT_TRUE(waits(*reader));
}

TEST_F(GrowingBlobTest, KeepsTheEndUntilTheDigestWasRight) {
  open({kUnit, kUnit, kSize - 2 * kUnit});
  const auto whole = blob_->reader(0, kSize);
  const auto end = blob_->reader(kSize - 5, 5);
  EXPECT_EQ(read(*whole).value(), kSize - GrowingBlob::kHeldBack);
  EXPECT_TRUE(waits(*whole));
  EXPECT_TRUE(waits(*end));
  blob_->verified();
  EXPECT_EQ(read(*whole).value(), GrowingBlob::kHeldBack);
  EXPECT_EQ(read(*whole).value(), 0u);
  EXPECT_EQ(read(*end).value(), 5u);
  blob_->give_up(Error(Code::kIo, "too late"));
  EXPECT_EQ(read(*blob_->reader(0, 5)).value(), 5u);
}

TEST_F(GrowingBlobTest, CutsReadersOfWhatWasWrong) {
  open({kUnit, 0, 0});
  const auto before = blob_->reader(0, kSize);
  EXPECT_TRUE(read(*before).has_value());
  open();
  EXPECT_EQ(read(*before).error().code(), Code::kDigestMismatch);
  const auto after = blob_->reader(0, kSize);
  EXPECT_TRUE(waits(*after));
  blob_->give_up(Error(Code::kUnavailable, "gone"));
  EXPECT_EQ(read(*after).error().code(), Code::kUnavailable);
  rt::Op op;
  EXPECT_EQ(loop_.run(blob_->begun(op)).error().code(), Code::kUnavailable);
}

TEST_F(GrowingBlobTest, ReadersSayWhatTheyWaitFor) {
  std::vector<std::uint64_t> wanted;
  blob_->when_wanted([&](std::uint64_t offset) { wanted.push_back(offset); });
  open();
  EXPECT_TRUE(waits(*blob_->reader(123'456, 10)));
  EXPECT_EQ(wanted, std::vector<std::uint64_t>{123'456});
}

}  // namespace
}  // namespace berth::store
