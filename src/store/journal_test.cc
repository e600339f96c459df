#include "store/journal.h"

#include <fstream>
#include <gtest/gtest.h>
#include <zlib.h>

#include "store/store_fixture.h"

namespace berth::store {
namespace {

constexpr std::uint64_t kUnit = 100;
constexpr std::uint64_t kBootPlace = 8 + 4 + 4 + 144 + 8 + 8;
constexpr std::uint64_t kRecords = 216;
constexpr std::uint64_t kRecord = 24;

// As docs/dev/journal-format.md says: CRC-32 of what follows the field, begun with the version.
std::uint32_t test_checksum(const std::string& file) {
  const auto* bytes = reinterpret_cast<const Bytef*>(file.data());
  return static_cast<std::uint32_t>(::crc32(1, bytes + 16, kRecords - 16));
}

class JournalTest : public testing::Test {
 protected:
  Journal open() { return Journal::open(dir, "journal", blob, kUnit).value(); }
  void poke(std::uint64_t place, char value) {
    std::fstream file(folder.path() + "/journal", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(place));
    file.put(value);
  }
  TempFolder folder;
  fs::Dir dir = fs::Dir::open(folder.path()).value();
  oci::Descriptor blob{.media_type = "w", .digest = oci::Digest::of(as_bytes("x")), .size = 250};
};

TEST_F(JournalTest, BeginsWithNothing) { EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0})); }

TEST_F(JournalTest, WhatWasReceivedOutlivesTheProcess) {
  {
    Journal journal = open();
    ASSERT_TRUE(journal.received(0, 100));
    ASSERT_TRUE(journal.received(2, 17));
  }
  EXPECT_EQ(open().held(), (Journal::Extents{100, 0, 17}));
}

TEST_F(JournalTest, AfterARestartOfTheMachineOnlyWhatWasSealedCounts) {
  {
    Journal journal = open();
    ASSERT_TRUE(journal.received(0, 100));
    ASSERT_TRUE(journal.received(1, 40));
    ASSERT_TRUE(journal.seal({100, 40, 0}));
    ASSERT_TRUE(journal.received(1, 90));
    ASSERT_TRUE(journal.received(2, 30));
  }
  const std::string before = read_file(folder.path() + "/journal");
  // As another start would have written it: its header is right and names another boot.
  oci::Descriptor same = blob;
  {
    std::string bytes = before;
    bytes[kBootPlace] = bytes[kBootPlace] == '0' ? '1' : '0';
    const std::uint32_t check = test_checksum(bytes);
    std::memcpy(bytes.data() + 12, &check, 4);
    std::ofstream(folder.path() + "/journal", std::ios::binary) << bytes;
  }
  EXPECT_EQ(Journal::open(dir, "journal", same, kUnit)->held(), (Journal::Extents{100, 40, 0}));
  // And it is this start's now.
  EXPECT_EQ(open().held(), (Journal::Extents{100, 40, 0}));
}

TEST_F(JournalTest, ATornHeaderBeginsAnew) {
  ASSERT_TRUE(open().received(0, 100));
  poke(kBootPlace, '!');
  EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0}));
}

TEST_F(JournalTest, ATornLengthBeginsAnew) {
  ASSERT_TRUE(open().received(0, 100));
  std::filesystem::resize_file(folder.path() + "/journal", kRecords + 5);
  EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0}));
}

TEST_F(JournalTest, AnImpossibleExtentIsNothing) {
  ASSERT_TRUE(open().received(1, 60));
  poke(kRecords + kRecord + 3, 1);
  EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0}));
}

TEST_F(JournalTest, AnotherBlobOrSizeBeginsAnew) {
  ASSERT_TRUE(open().received(0, 100));
  blob.digest = oci::Digest::of(as_bytes("y"));
  EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0}));
  ASSERT_TRUE(open().received(0, 100));
  blob.size = 260;
  EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0}));
}

TEST_F(JournalTest, ResetForgets) {
  {
    Journal journal = open();
    ASSERT_TRUE(journal.received(0, 100));
    ASSERT_TRUE(journal.seal({100, 0, 0}));
    ASSERT_TRUE(journal.reset());
  }
  EXPECT_EQ(open().held(), (Journal::Extents{0, 0, 0}));
}

}  // namespace
}  // namespace berth::store
