// Uploads that come in pieces, in any order and beside each other.
#include "depot/pieces.h"

#include <fstream>

#include "depot/depot_fixture.h"

namespace berth::depot {
namespace {

using Then = FakeBody::Then;

class PiecesTest : public DepotTest {
 public:
  Status put(const std::string& id, std::uint64_t begin, const std::string& bytes,
             std::uint64_t missing = 0, Then then = Then::kEnd) {
    FakeBody body(*loop_, bytes, then);
    return run(uploads().put_piece(op_, "a", id, begin, begin + bytes.size() + missing, body));
  }
  std::optional<std::uint64_t> held(const std::string& id) {
    return run(uploads().held(op_, "a", id)).value();
  }
  std::optional<std::size_t> pieces(const std::string& id) {
    return run(uploads().pieces(op_, "a", id)).value();
  }
  std::string log_of(const std::string& id) const {
    return root() + "/ingest/pieces-" + id.substr(0, 36);
  }
  std::string bytes_of(const oci::Digest& digest) const {
    std::ifstream file(root() + "/blobs/" + digest.path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

// A body whose bytes come when the test says so.
class GatedBody : public rt::Reader {
 public:
  GatedBody(rt::Loop& loop, std::string bytes) : bytes_(std::move(bytes)), changed_(loop) {}
  void open() {
    is_open_ = true;
    changed_.notify_all();
  }
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    while (!is_open_) CO_TRY_OK(co_await changed_.wait(op));
    const std::size_t count = std::min(into.size(), bytes_.size());
    std::memcpy(into.data(), bytes_.data(), count);
    bytes_.erase(0, count);
    co_return count;
  }

 private:
  std::string bytes_;
  bool is_open_ = false;
  rt::Event changed_;
};

TEST_F(PiecesTest, PiecesComeInAnyOrder) {
  const std::string id = begin("a");
  ASSERT_TRUE(put(id, 6, "world"));
  EXPECT_EQ(held(id), 0u);
  EXPECT_EQ(pieces(id), 1u);
  const oci::Digest digest = oci::Digest::of(as_bytes("hello world"));
  const Status early = finish("a", id, digest);
  EXPECT_EQ(early.error().code(), Code::kBadRange) << "a gap";
  ASSERT_TRUE(put(id, 0, "hello "));
  EXPECT_EQ(held(id), 11u);
  ASSERT_TRUE(finish("a", id, digest));
  EXPECT_EQ(find("a", digest), 11u);
  EXPECT_EQ(bytes_of(digest), "hello world");
  EXPECT_EQ(ingests(), 0u);
  EXPECT_EQ(put(id, 0, "x").error().code(), Code::kNotFound);
}

TEST_F(PiecesTest, PiecesComeBesideEachOther) {
  const std::string id = begin("a");
  const std::string first(3'000'000, 'x');
  const std::string second(2'000'000, 'y');
  struct Steps {
    static rt::Task<Status> put(PiecesTest& test, std::string id, std::uint64_t begin,
                                std::uint64_t end, rt::Reader& body, Status& result) {
      result = co_await test.uploads().put_piece(test.op_, "a", id, begin, end, body);
      co_return Status();
    }
    static rt::Task<Status> all(PiecesTest& test, std::string id, std::string first,
                                std::string second) {
      GatedBody slow(*test.loop_, first);
      FakeBody fast(*test.loop_, second);
      rt::Scope scope(*test.loop_);
      Status one;
      scope.spawn(put(test, id, 0, first.size(), slow, one));
      Status two;
      co_await put(test, id, first.size(), first.size() + second.size(), fast, two);
      CO_TRY_OK(two);
      const auto held = co_await test.uploads().held(test.op_, "a", id);
      EXPECT_EQ(held.value(), 0u) << "the first is still coming";
      slow.open();
      (void)co_await scope.join();
      co_return one;
    }
  };
  const Status done = run(Steps::all(*this, id, first, second));
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(held(id), 5'000'000u);
  const oci::Digest digest = oci::Digest::of(as_bytes(first + second));
  ASSERT_TRUE(finish("a", id, digest));
  EXPECT_EQ(bytes_of(digest), first + second);
}

TEST_F(PiecesTest, WhatDidNotComeWholeIsNotHeld) {
  const std::string id = begin("a");
  ASSERT_TRUE(put(id, 0, "abc"));
  EXPECT_EQ(put(id, 3, "de", 1, Then::kBreak).error().code(), Code::kUnavailable);
  EXPECT_EQ(put(id, 3, "de", 1).error().code(), Code::kInvalid);
  EXPECT_EQ(pieces(id), 1u);
  const oci::Digest digest = oci::Digest::of(as_bytes("abcdef"));
  EXPECT_EQ(finish("a", id, digest).error().code(), Code::kBadRange) << "bytes behind what is held";
  ASSERT_TRUE(put(id, 3, "def"));
  EXPECT_TRUE(finish("a", id, digest));
}

TEST_F(PiecesTest, MoreThanThePieceIsRefused) {
  const std::string id = begin("a");
  FakeBody body(*loop_, "abcdef");
  EXPECT_EQ(run(uploads().put_piece(op_, "a", id, 0, 3, body)).error().code(), Code::kInvalid);
  FakeBody nothing(*loop_, "");
  EXPECT_EQ(run(uploads().put_piece(op_, "a", id, 3, 3, nothing)).error().code(), Code::kTooLarge);
  EXPECT_EQ(run(uploads().put_piece(op_, "a", id, 0, UINT64_MAX, nothing)).error().code(),
            Code::kTooLarge);
  EXPECT_EQ(run(uploads().put_piece(op_, "b", id, 0, 3, nothing)).error().code(), Code::kNotFound);
}

// What is served is what was hashed, however the bytes came.
TEST_F(PiecesTest, APieceThatIsReplacedIsHashedAgain) {
  const std::string id = begin("a");
  ASSERT_TRUE(put(id, 0, "good "));  // hashed as the beginning
  ASSERT_TRUE(put(id, 5, "bytes"));
  ASSERT_TRUE(put(id, 0, "evil "));
  const oci::Digest good = oci::Digest::of(as_bytes("good bytes"));
  EXPECT_EQ(finish("a", id, good).error().code(), Code::kDigestMismatch);
  EXPECT_FALSE(has_file(good));
  EXPECT_EQ(ingests(), 0u);
}

TEST_F(PiecesTest, WhoeverWritesToTheSameBytesIsCutOff) {
  const std::string id = begin("a");
  struct Steps {
    static rt::Task<Status> put(PiecesTest& test, std::string id, rt::Reader& body,
                                Status& result) {
      result = co_await test.uploads().put_piece(test.op_, "a", id, 0, 5, body);
      co_return Status();
    }
    static rt::Task<Status> both(PiecesTest& test, std::string id, Status& first) {
      GatedBody hanging(*test.loop_, "evil ");
      FakeBody body(*test.loop_, "good ");
      rt::Scope scope(*test.loop_);
      scope.spawn(put(test, id, hanging, first));
      Status second;
      co_await put(test, id, body, second);
      hanging.open();
      (void)co_await scope.join();
      co_return second;
    }
  };
  Status first;
  ASSERT_TRUE(run(Steps::both(*this, id, first)));
  EXPECT_EQ(first.error().code(), Code::kConflict);
  const oci::Digest digest = oci::Digest::of(as_bytes("good "));
  ASSERT_TRUE(finish("a", id, digest));
  EXPECT_EQ(bytes_of(digest), "good ");
}

TEST_F(PiecesTest, WhatCameInOrderIsTheFirstPieceAndNoMoreDoes) {
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, "abc"));
  ASSERT_TRUE(put(id, 3, "def"));
  EXPECT_EQ(pieces(id), 2u);
  EXPECT_EQ(append("a", id, "ghi", 6).error().code(), Code::kConflict);
  EXPECT_TRUE(finish("a", id, oci::Digest::of(as_bytes("abcdef"))));
}

TEST_F(PiecesTest, ARestartKnowsWhichAreHeld) {
  const std::string id = begin("a");
  ASSERT_TRUE(put(id, 6, "ghi"));
  ASSERT_TRUE(put(id, 0, "abc"));
  std::ofstream(log_of(id), std::ios::app) << std::string(4, '\0') << "9 12\n3 6";  // a torn line
  open();
  EXPECT_EQ(uploads().unfinished(), 1u);
  EXPECT_EQ(pieces(id), 3u);
  EXPECT_EQ(held(id), 3u);
  ASSERT_TRUE(put(id, 9, "jkl"));
  ASSERT_TRUE(put(id, 3, "def"));
  open();
  EXPECT_EQ(held(id), 12u);
  const oci::Digest digest = oci::Digest::of(as_bytes("abcdefghijkl"));
  ASSERT_TRUE(finish("a", id, digest));
  EXPECT_EQ(bytes_of(digest), "abcdefghijkl");
  EXPECT_EQ(ingests(), 0u);
}

TEST_F(PiecesTest, CancelledAndForgottenOnesLeaveNothing) {
  const std::string first = begin("a");
  ASSERT_TRUE(put(first, 3, "abc"));
  EXPECT_TRUE(run(uploads().cancel(op_, "a", first)).value());
  EXPECT_EQ(ingests(), 0u);
  const std::string second = begin("a");
  ASSERT_TRUE(put(second, 3, "abc"));
  ASSERT_TRUE(run(uploads().expire(op_, std::chrono::hours(1))));
  EXPECT_EQ(pieces(second), 1u);
  ASSERT_TRUE(run(uploads().expire(op_, std::chrono::seconds(0))));
  EXPECT_EQ(ingests(), 0u);
  EXPECT_EQ(uploads().unfinished(), 0u);
}

TEST_F(PiecesTest, TheirNumberIsBounded) {
  const fs::Dir folder = fs::Dir::open(root()).value();
  const auto pieces = Pieces::create(folder, "pieces").value();
  for (std::uint64_t i = 0; i < Pieces::kMost; ++i) {
    const Piece piece{.begin = i, .end = i + 1};
    ASSERT_TRUE(pieces->forget(piece));
    pieces->hold(piece);
  }
  EXPECT_EQ(pieces->forget({.begin = Pieces::kMost, .end = Pieces::kMost + 1}).error().code(),
            Code::kTooLarge);
  EXPECT_TRUE(pieces->forget({.begin = 5, .end = 6})) << "one that comes again";
}

}  // namespace
}  // namespace berth::depot
