#include <csignal>
#include <sys/resource.h>
#include <sys/stat.h>

#include "content/plan.h"
#include "store/journal.h"
#include "store/store_fixture.h"

namespace berth::store {
namespace {

using PutTest = StoreTest;

// Sends `bytes` of a blob and then what the test says.
class Peer : public content::Fetcher {
 public:
  std::string bytes;
  std::optional<std::uint64_t> breaks_at;  // kUnavailable there, once
  bool ranges = true;
  std::optional<std::size_t> refuses_after;  // requests
  std::vector<std::uint64_t> offsets;

  Task<Result<content::Source>> fetch(rt::Op&, oci::Descriptor, content::ByteRange range) override {
    offsets.push_back(range.offset);
    if (refuses_after && offsets.size() > *refuses_after) co_return fail(Code::kNotFound, "gone");
    if (ranges && range.offset > bytes.size()) co_return fail(Code::kBadRange, "outside");
    content::Source source;
    source.size = bytes.size();
    source.offset = ranges ? range.offset : 0;
    source.reader = std::make_unique<Body>(*this, source.offset);
    co_return std::move(source);
  }

 private:
  struct Body : rt::Reader {
    Body(Peer& of, std::uint64_t from) : peer(of), at(from) {}
    Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
      CO_TRY_OK(op.check());
      const std::uint64_t end = peer.breaks_at.value_or(peer.bytes.size());
      if (peer.breaks_at && at == end) {
        peer.breaks_at.reset();
        co_return fail(Code::kUnavailable, "the connection broke");
      }
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>({into.size(), end - at, 100'000}));
      std::memcpy(into.data(), peer.bytes.data() + at, count);
      at += count;
      co_return count;
    }
    Peer& peer;
    std::uint64_t at;
  };
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

oci::Descriptor describe(const std::string& bytes) {
  return oci::describe(bytes, "application/weights");
}

TEST_F(PutTest, KeepsABlobReadOnlyUnderItsDigest) {
  const std::string bytes = pattern(9'000'000);  // more than two pieces of the pipeline
  const auto blob = from_.add(bytes, "application/weights");
  ASSERT_TRUE(put(blob));
  EXPECT_EQ(read_file(blob_file(blob.digest)), bytes);
  struct stat s = {};
  ASSERT_EQ(::stat(blob_file(blob.digest).c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0444U);
  EXPECT_EQ(ingests(), 0U);
  EXPECT_TRUE(run(store_->has(op_, blob)).value());
}

TEST_F(PutTest, KeepsAnEmptyBlob) {
  const auto blob = from_.add("", "application/weights");
  ASSERT_TRUE(put(blob));
  EXPECT_TRUE(run(store_->has(op_, blob)).value());
}

TEST_F(PutTest, KeepsSha512) {
  const std::string bytes = "weights";
  Peer peer;
  peer.bytes = bytes;
  const oci::Descriptor blob{.media_type = "w",
                             .digest = oci::Digest::of(as_bytes(bytes), crypto::Algorithm::kSha512),
                             .size = bytes.size()};
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(read_file(blob_file(blob.digest)), bytes);
}

TEST_F(PutTest, WhatIsHereIsNotFetchedAgain) {
  const auto blob = from_.add("weights", "application/weights");
  ASSERT_TRUE(put(blob));
  from_.fetches = 0;
  ASSERT_TRUE(put(blob));
  EXPECT_EQ(from_.fetches, 0);
}

TEST_F(PutTest, RefusesOtherBytesAndKeepsNothing) {
  const auto blob = from_.add("weights", "application/weights");
  from_.corrupt(blob.digest, "Weights");
  EXPECT_EQ(put(blob).error().code(), Code::kDigestMismatch);
  EXPECT_FALSE(exists(blob.digest));
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(PutTest, RefusesALongBody) {
  const auto blob = from_.add("weights", "application/weights");
  from_.corrupt(blob.digest, "weights and more");
  EXPECT_EQ(put(blob).error().code(), Code::kDigestMismatch);
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(PutTest, AShortBodyIsNoBlob) {
  const auto blob = from_.add("weights", "application/weights");
  from_.corrupt(blob.digest, "weig");
  EXPECT_EQ(put(blob).error().code(), Code::kUnavailable);
  EXPECT_FALSE(run(store_->has(op_, blob)).value());
  EXPECT_FALSE(exists(blob.digest));
}

TEST_F(PutTest, RefusesASizeThatCannotFit) {
  auto blob = from_.add("weights", "application/weights");
  blob.size = std::uint64_t{1} << 62;
  EXPECT_EQ(put(blob).error().code(), Code::kExhausted);
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(PutTest, RefusesAnotherSizeForWhatIsHere) {
  auto blob = from_.add("weights", "application/weights");
  ASSERT_TRUE(put(blob));
  blob.size = 3;
  EXPECT_EQ(put(blob).error().code(), Code::kDigestMismatch);
}

TEST_F(PutTest, GoesOnWhereItBrokeOff) {
  Peer peer;
  peer.bytes = pattern(6'000'000);
  peer.breaks_at = 5'000'000;
  const auto blob = describe(peer.bytes);
  peer.refuses_after = 1;
  EXPECT_EQ(run(store_->put(op_, blob, peer, quiet_)).error().code(), Code::kNotFound);
  EXPECT_FALSE(exists(blob.digest));
  open();  // another process
  peer.refuses_after.reset();
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(peer.offsets, (std::vector<std::uint64_t>{0, 5'000'000, 5'000'000}));
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

TEST_F(PutTest, StartsOverWhenTheServerKnowsNoRanges) {
  Peer peer;
  peer.bytes = pattern(3'000'000);
  peer.breaks_at = 1'000'000;
  peer.ranges = false;
  const auto blob = describe(peer.bytes);
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(peer.offsets.size(), 2U);
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

// What an earlier process left, as its journal says.
void leave_partial(const std::string& root, const oci::Descriptor& blob, std::string data) {
  const std::string name = "ingest/sha256-" + std::string(blob.digest.hex());
  const fs::Dir folder = fs::Dir::open(root).value();
  ASSERT_TRUE(folder.make_subdir(name));
  const auto size = data.size();
  std::ofstream(root + "/" + name + "/data") << data;
  auto journal =
      Journal::open(folder, name + "/journal", blob, content::Plan::unit_bytes_for(blob.size))
          .value();
  ASSERT_TRUE(journal.received(0, size));
}

TEST_F(PutTest, AWrongPrefixIsGivenUp) {
  Peer peer;
  peer.bytes = pattern(2'000'000);
  const auto blob = describe(peer.bytes);
  leave_partial(root(), blob, "something else");
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(peer.offsets, (std::vector<std::uint64_t>{14, 0}));
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

TEST_F(PutTest, AWholeButWrongPartialIsGivenUp) {
  Peer peer;
  peer.bytes = pattern(1'000'000);
  const auto blob = describe(peer.bytes);
  leave_partial(root(), blob, std::string(peer.bytes.size(), 'x'));
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

TEST_F(PutTest, AWholePartialIsNotFetched) {
  Peer peer;
  peer.bytes = pattern(1'000'000);
  const auto blob = describe(peer.bytes);
  leave_partial(root(), blob, peer.bytes);
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_TRUE(peer.offsets.empty());
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

TEST_F(PutTest, DataWithoutAJournalIsNotBelieved) {
  Peer peer;
  peer.bytes = pattern(1'000'000);
  const auto blob = describe(peer.bytes);
  const std::string folder = root() + "/ingest/sha256-" + std::string(blob.digest.hex());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/data") << peer.bytes;
  std::ofstream(folder + "/journal") << "torn";
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(peer.offsets, (std::vector<std::uint64_t>{0}));
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

TEST_F(PutTest, AJournalWithoutItsDataIsNotBelieved) {
  Peer peer;
  peer.bytes = pattern(1'000'000);
  const auto blob = describe(peer.bytes);
  leave_partial(root(), blob, peer.bytes);
  // As whoever died after the file got its name leaves it.
  std::filesystem::remove(root() + "/ingest/sha256-" + std::string(blob.digest.hex()) + "/data");
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  EXPECT_EQ(peer.offsets, (std::vector<std::uint64_t>{0}));
  EXPECT_EQ(read_file(blob_file(blob.digest)), peer.bytes);
}

TEST_F(PutTest, CancellingKeepsWhatCame) {
  Peer peer;
  peer.bytes = pattern(500'000);
  const auto blob = describe(peer.bytes);
  struct Stop : content::Progress {
    rt::Op* op = nullptr;
    void on(const content::Event& event) override {
      if (event.current >= 200'000) op->cancel();
    }
  } stop;
  rt::Op op;
  stop.op = &op;
  EXPECT_EQ(run(store_->put(op, blob, peer, stop)).error().code(), Code::kCancelled);
  ASSERT_TRUE(run(store_->put(op_, blob, peer, quiet_)));
  for (std::size_t i = 1; i < peer.offsets.size(); ++i) EXPECT_GE(peer.offsets[i], 200'000U);
}

TEST_F(PutTest, AFullDiskLeavesNothing) {
  Peer peer;
  peer.bytes = pattern(3'000'000);
  const auto blob = describe(peer.bytes);
  stop();
  const pid_t child = ::fork();
  if (child == 0) {
    rt::Loop inner;
    auto store = Store::open(inner, {.root = root()}).value();
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {.rlim_cur = 1'000'000, .rlim_max = 1'000'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = inner.run(store->put(op_, blob, peer, quiet_));
    ::_exit(!status && status.error().message().find("write") != std::string::npos ? 0 : 1);
  }
  int result = 0;
  ::waitpid(child, &result, 0);
  EXPECT_EQ(result, 0);
  EXPECT_EQ(ingests(), 0U);
  EXPECT_FALSE(exists(blob.digest));
}

TEST_F(PutTest, AManifestNeedsItsChildren) {
  const auto root = make_model(from_, {"weights"});
  EXPECT_EQ(put(root).error().code(), Code::kConflict);
  EXPECT_FALSE(exists(root.digest));
  EXPECT_EQ(ingests(), 0U);
  ASSERT_TRUE(bring(root, "ai/x"));
  EXPECT_TRUE(run(store_->has(op_, root)).value());
}

TEST_F(PutTest, AManifestWithALostLayerIsNotHere) {
  const auto root = make_model(from_, {"weights"});
  ASSERT_TRUE(bring(root, "ai/x"));
  std::filesystem::remove(blob_file(oci::Digest::of(as_bytes("weights"))));
  EXPECT_FALSE(run(store_->has(op_, root)).value());
  ASSERT_TRUE(bring(root, "ai/x"));  // heals
  EXPECT_TRUE(run(store_->has(op_, root)).value());
}

TEST_F(PutTest, RefusesAManifestThatLiesAboutASize) {
  auto layer = from_.add("weights", "application/weights");
  ASSERT_TRUE(put(layer));
  oci::Manifest manifest{.media_type = std::string(oci::media::kManifest), .config = layer};
  manifest.config.size = 5;
  const auto root = from_.add(oci::serialize(manifest), oci::media::kManifest);
  EXPECT_EQ(put(root).error().code(), Code::kInvalid);
}

TEST_F(PutTest, RefusesABodyThatIsNoManifest) {
  EXPECT_EQ(put(from_.add("{}", oci::media::kManifest)).error().code(), Code::kInvalid);
  EXPECT_EQ(put(from_.add("not json", oci::media::kIndex)).error().code(), Code::kInvalid);
  EXPECT_EQ(ingests(), 0U);
}

TEST_F(PutTest, RefusesAHugeManifest) {
  auto root = from_.add("{}", oci::media::kManifest);
  root.size = oci::kMaxManifestBytes + 1;
  EXPECT_EQ(put(root).error().code(), Code::kTooLarge);
}

TEST_F(PutTest, BytesThatTurnOutToBeAManifestGetTheirEdges) {
  const auto root = make_model(from_, {"weights"});
  ASSERT_TRUE(
      put({.media_type = "application/octet-stream", .digest = root.digest, .size = root.size}));
  EXPECT_FALSE(run(store_->has(op_, root)).value());
  EXPECT_FALSE(put(root));  // its children are not here
  ASSERT_TRUE(bring(root, "ai/x"));
  EXPECT_EQ(list().size(), 1U);
}

TEST_F(PutTest, AnIndexMayNameOtherPlatforms) {
  const auto mine = make_model(from_, {"mine"});
  const auto other = make_model(from_, {"other"});
  const auto index = make_index(from_, {other, mine});
  ASSERT_TRUE(bring(mine, ""));
  ASSERT_TRUE(put(index));
  EXPECT_TRUE(run(store_->has(op_, index)).value());
  EXPECT_FALSE(run(store_->has(op_, other)).value());
}

TEST_F(PutTest, PutBytesDescribesWhatItKept) {
  const auto blob = run(store_->put_bytes(op_, "application/template", "{{ x }}")).value();
  EXPECT_EQ(blob.digest, oci::Digest::of(as_bytes("{{ x }}")));
  EXPECT_EQ(read_file(blob_file(blob.digest)), "{{ x }}");
  EXPECT_EQ(run(store_->put_bytes(op_, std::string(oci::media::kManifest), "{}")).error().code(),
            Code::kInvalid);
}

TEST_F(PutTest, TwoAtOnceFetchOnce) {
  Peer peer;
  peer.bytes = pattern(2'000'000);
  const auto blob = describe(peer.bytes);
  rt::Scope scope(loop());
  scope.spawn(store_->put(op_, blob, peer, quiet_));
  scope.spawn(store_->put(op_, blob, peer, quiet_));
  EXPECT_TRUE(run(scope.join()));
  EXPECT_EQ(peer.offsets.size(), 1U);
}

TEST_F(PutTest, FetchReadsRanges) {
  const auto blob = from_.add("0123456789", "application/weights");
  ASSERT_TRUE(put(blob));
  auto source = run(store_->fetch(op_, blob, {.offset = 3, .length = 4})).value();
  EXPECT_EQ(source.size, 10U);
  EXPECT_EQ(source.offset, 3U);
  EXPECT_TRUE(source.file);
  std::string text(10, '\0');
  text.resize(run(source.reader->read(op_, std::as_writable_bytes(std::span(text)))).value());
  EXPECT_EQ(text, "3456");
  EXPECT_EQ(run(store_->fetch(op_, blob, {.offset = 10})).error().code(), Code::kBadRange);
  EXPECT_EQ(run(store_->fetch(op_, {.digest = oci::Digest::of(as_bytes("?"))}, {})).error().code(),
            Code::kNotFound);
}

}  // namespace
}  // namespace berth::store
