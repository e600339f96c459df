#include <fcntl.h>
#include <unistd.h>

#include "depot/depot_fixture.h"

namespace berth::depot {
namespace {

using UploadsTest = DepotTest;
using Then = FakeBody::Then;

TEST_F(UploadsTest, ABlobComesInPiecesAndIsShownInItsRepositoryOnly) {
  const std::string bytes = "hello world";
  const oci::Digest digest = oci::Digest::of(as_bytes(bytes));
  const std::string id = begin("a/b");
  EXPECT_EQ(append("a/b", id, "hello ").value(), 6u);
  EXPECT_EQ(run(uploads().held(op_, "a/b", id)).value(), 6u);
  EXPECT_EQ(append("a/b", id, "world", 6).value(), 11u);
  EXPECT_FALSE(find("a/b", digest));
  ASSERT_TRUE(finish("a/b", id, digest));
  EXPECT_EQ(find("a/b", digest), 11u);
  EXPECT_FALSE(find("a/c", digest));
  EXPECT_TRUE(has_file(digest));
  EXPECT_EQ(ingests(), 0u);
  EXPECT_FALSE(run(uploads().held(op_, "a/b", id)).value());
}

TEST_F(UploadsTest, WhatDoesNotBeginWhereTheUploadIsIsRefusedAndTheUploadLives) {
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, "abc"));
  EXPECT_EQ(append("a", id, "x", 0).error().code(), Code::kBadRange);
  EXPECT_EQ(append("a", id, "x", 4).error().code(), Code::kBadRange);
  EXPECT_EQ(append("a", id, "d", 3).value(), 4u);
}

TEST_F(UploadsTest, AWrongDigestEndsTheUploadAndLeavesNothing) {
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, "abc"));
  const oci::Digest other = oci::Digest::of(as_bytes("abd"));
  EXPECT_EQ(finish("a", id, other).error().code(), Code::kDigestMismatch);
  EXPECT_FALSE(find("a", other));
  EXPECT_FALSE(has_file(other));
  EXPECT_EQ(ingests(), 0u);
  EXPECT_EQ(append("a", id, "d").error().code(), Code::kNotFound);
}

TEST_F(UploadsTest, TheAlgorithmIsNamedAtTheEnd) {
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, "abc"));
  const oci::Digest digest = oci::Digest::of(as_bytes("abc"), crypto::Algorithm::kSha512);
  ASSERT_TRUE(finish("a", id, digest));
  EXPECT_EQ(find("a", digest), 3u);
}

TEST_F(UploadsTest, TheEmptyBlob) {
  const std::string id = begin("a");
  ASSERT_TRUE(finish("a", id, oci::Digest::of({})));
  EXPECT_EQ(find("a", oci::Digest::of({})), 0u);
}

TEST_F(UploadsTest, AnIdIsGoodForItsRepositoryOnly) {
  const std::string id = begin("a");
  EXPECT_FALSE(run(uploads().held(op_, "b", id)).value());
  std::string forged = id;
  forged.back() = forged.back() == '0' ? '1' : '0';
  EXPECT_FALSE(run(uploads().held(op_, "a", forged)).value());
  EXPECT_FALSE(run(uploads().held(op_, "a", "../../etc/passwd")).value());
  EXPECT_FALSE(run(uploads().held(op_, "a", "")).value());
}

TEST_F(UploadsTest, WhatArrivedBeforeABreakIsKeptAcrossARestart) {
  const std::string bytes(3'000'000, 'x');
  const std::string id = begin("a");
  EXPECT_EQ(append("a", id, bytes.substr(0, 2'000'000), std::nullopt, Then::kBreak).error().code(),
            Code::kUnavailable);
  EXPECT_EQ(run(uploads().held(op_, "a", id)).value(), 2'000'000u);
  open();
  EXPECT_EQ(run(uploads().held(op_, "a", id)).value(), 2'000'000u);
  EXPECT_EQ(append("a", id, bytes.substr(2'000'000), 2'000'000).value(), bytes.size());
  ASSERT_TRUE(finish("a", id, oci::Digest::of(as_bytes(bytes))));
}

TEST_F(UploadsTest, TheNewestConnectionGoesOnWithAnUpload) {
  const std::string id = begin("a");
  FakeBody hanging(*loop_, "abc", Then::kHang);
  Result<std::uint64_t> first = 0;
  Result<std::uint64_t> second = 0;
  struct Steps {
    static rt::Task<Status> hang(UploadsTest& test, std::string id, rt::Reader& body,
                                 Result<std::uint64_t>& result) {
      result = co_await test.uploads().append(test.op_, "a", id, std::nullopt, body);
      co_return Status();
    }
    static rt::Task<Status> both(UploadsTest& test, std::string id, rt::Reader& body,
                                 Result<std::uint64_t>& first, Result<std::uint64_t>& second) {
      rt::Scope scope(*test.loop_);
      scope.spawn(hang(test, id, body, first));
      FakeBody rest(*test.loop_, "def");
      second = co_await test.uploads().append(test.op_, "a", id, std::nullopt, rest);
      co_return co_await scope.join();
    }
  };
  ASSERT_TRUE(run(Steps::both(*this, id, hanging, first, second)));
  EXPECT_EQ(first.error().code(), Code::kConflict);
  EXPECT_EQ(second.value(), 6u);
  EXPECT_TRUE(finish("a", id, oci::Digest::of(as_bytes("abcdef"))));
}

TEST_F(UploadsTest, CancelledIsGone) {
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, "abc"));
  EXPECT_TRUE(run(uploads().cancel(op_, "a", id)).value());
  EXPECT_FALSE(run(uploads().cancel(op_, "a", id)).value());
  EXPECT_EQ(ingests(), 0u);
}

TEST_F(UploadsTest, AFullDiskIsSaidBeforeItIsFull) {
  open({.disk_reserve = std::uint64_t{1} << 60});
  const std::string id = begin("a");
  EXPECT_EQ(append("a", id, "abc").error().code(), Code::kExhausted);
}

TEST_F(UploadsTest, TooManyAreToldToWait) {
  open({.sessions = 1, .disk_reserve = 0});
  begin("a");
  const auto second = run(uploads().begin(op_, "a"));
  EXPECT_EQ(second.error().code(), Code::kRateLimited);
  EXPECT_TRUE(second.error().retry_after());
}

TEST_F(UploadsTest, IdleOnesAreClosedAndGoOnFromTheirFiles) {
  open({.open_at_once = 4, .disk_reserve = 0});
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(begin("a"));
    ASSERT_TRUE(append("a", ids.back(), "ab"));
  }
  EXPECT_LE(uploads().open_sessions(), 4u);
  EXPECT_EQ(uploads().unfinished(), 20u);
  const oci::Digest digest = oci::Digest::of(as_bytes("abcd"));
  for (const std::string& id : ids) {
    ASSERT_EQ(append("a", id, "cd", 2).value(), 4u);
    ASSERT_TRUE(finish("a", id, digest));
  }
  EXPECT_EQ(uploads().unfinished(), 0u);
  begin("a");
  open();
  EXPECT_EQ(uploads().unfinished(), 1u);
}

TEST_F(UploadsTest, ACallerThatLeavesWhileItsBlobIsFinishedFindsIt) {
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, std::string(1 << 20, 'x')));
  const oci::Digest digest =
      oci::Digest::of(as_bytes(std::string(1 << 20, 'x')), crypto::Algorithm::kSha512);
  struct Steps {
    static rt::Task<Status> leave(UploadsTest& test, std::string id, oci::Digest digest) {
      rt::Op caller;
      rt::Scope scope(*test.loop_);
      scope.spawn(finish(test, caller, std::move(id), std::move(digest)));
      caller.cancel();
      co_return co_await scope.join();
    }
    static rt::Task<Status> finish(UploadsTest& test, rt::Op& caller, std::string id,
                                   oci::Digest digest) {
      (void)co_await test.uploads().finish(caller, "a", std::move(id), std::move(digest));
      co_return Status();
    }
  };
  ASSERT_TRUE(run(Steps::leave(*this, id, digest)));
  EXPECT_EQ(find("a", digest), 1u << 20);
}

TEST_F(UploadsTest, TheForgottenExpire) {
  const std::string id = begin("a");
  ASSERT_TRUE(run(uploads().expire(op_, std::chrono::hours(1))));
  EXPECT_TRUE(run(uploads().held(op_, "a", id)).value());
  ASSERT_TRUE(run(uploads().expire(op_, std::chrono::seconds(0))));
  EXPECT_FALSE(run(uploads().held(op_, "a", id)).value());
  EXPECT_EQ(ingests(), 0u);
}

TEST_F(UploadsTest, ASparseBlobOfATebibyteIsBookkeptInOneNumber) {
  const std::string id = begin("a");
  const std::uint64_t size = std::uint64_t{1} << 40;
  const std::string file = root() + "/ingest/upload-" + id.substr(0, 36);
  open();
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(size)), 0);
  ::close(fd);
  EXPECT_EQ(run(uploads().held(op_, "a", id)).value(), size);
  EXPECT_EQ(append("a", id, "end", size).value(), size + 3);
}

TEST_F(UploadsTest, OneProcessServesAFolder) {
  rt::Loop other;
  EXPECT_EQ(LocalDepot::open(other, root()).error().code(), Code::kConflict);
}

}  // namespace
}  // namespace berth::depot
