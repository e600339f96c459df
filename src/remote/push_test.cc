// Blobs going: sessions, the two ways of sending, mounts, and what goes wrong meanwhile.
#include "remote/remote_fixture.h"

namespace berth::remote {
namespace {

using Kind = content::Event::Kind;

class PushTest : public RemoteTest {
 protected:
  PushTest() {
    options_.chunk_bytes = 1000;
    for (int i = 0; i < 3500; ++i) bytes_ += static_cast<char>('a' + i % 26);
    blob_ = oci::describe(bytes_, "application/octet-stream");
  }
  std::size_t puts() { return network_.count("PUT", "/v2/ai/x/blobs/uploads/"); }
  std::size_t patches() { return network_.count("PATCH", "/v2/ai/x/blobs/uploads/"); }
  std::size_t posts() { return network_.count("POST", "/v2/ai/x/blobs/uploads/"); }
  FakeRegistry::Scripted fails(std::string method, int status, int times = 1) {
    return {.method = std::move(method),
            .path_prefix = "/v2/ai/x/blobs/uploads/",
            .status = status,
            .times = times};
  }
  std::string bytes_;
  oci::Descriptor blob_;
};

TEST_F(PushTest, OneStreamedPut) {
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(puts(), 1u);
  EXPECT_EQ(patches(), 0u);
  const auto& sent = network_.requests.back();
  EXPECT_EQ(http::query_get(sent.url.query, "digest"), blob_.digest.string());
  EXPECT_EQ(http::query_get(sent.url.query, "_state"), "s0") << "the Location's own query stays";
  EXPECT_EQ(progress_.events.back().kind, Kind::kBytes);
  EXPECT_EQ(progress_.events.back().current, bytes_.size());
}

TEST_F(PushTest, WhatIsThereIsNotSent) {
  registry_.add_blob("ai/x", bytes_);
  ASSERT_TRUE(put(bytes_));
  EXPECT_EQ(network_.requests.size(), 1u);
}

TEST_F(PushTest, TheEmptyBlob) {
  ASSERT_TRUE(put(""));
  EXPECT_TRUE(holds(""));
}

TEST_F(PushTest, AskedForAMomentAgoIsNotAskedAgain) {
  ASSERT_FALSE(loop_.run(repo().has(op_, blob_)).value());
  ASSERT_TRUE(put(bytes_));
  EXPECT_EQ(network_.count("HEAD", "/"), 1u);
}

TEST_F(PushTest, ARefusedPutIsSentInChunksAndRemembered) {
  registry_.largest_put = 1500;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(patches(), 4u);
  ASSERT_TRUE(put(bytes_ + "more"));
  EXPECT_EQ(network_.count("PUT", "/v2/ai/x/blobs/uploads/"), 3u)
      << "the second blob began with chunks";
  EXPECT_TRUE(holds(bytes_ + "more"));
}

TEST_F(PushTest, TheRegistrysLeastChunkIsHonoured) {
  registry_.largest_put = 3000;
  registry_.min_chunk = "2000";
  ASSERT_TRUE(put(bytes_));
  EXPECT_EQ(patches(), 2u);
}

TEST_F(PushTest, AHugeLeastChunkIsBounded) {
  registry_.largest_put = 3499;
  registry_.min_chunk = "18446744073709551615";
  EXPECT_FALSE(put(bytes_)) << "one chunk, which is as large as the refused PUT";
}

TEST_F(PushTest, ChunksGoOnFromWhatTheRegistryTook) {
  registry_.largest_put = 1500;
  registry_.keep_of_patch = 700;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(patches(), 5u);
}

TEST_F(PushTest, AfterABrokenChunkTheSessionIsAsked) {
  registry_.largest_put = 1500;
  registry_.script.push_back(fails("PATCH", 503));
  registry_.script.push_back(fails("PATCH", 416));
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/blobs/uploads/"), 2u);
  EXPECT_EQ(posts(), 2u) << "one for the PUT that was refused";
}

TEST_F(PushTest, ChunksThatNeverSucceedEnd) {
  registry_.largest_put = 1500;
  registry_.script.push_back(fails("PATCH", 416, 10'000));
  EXPECT_FALSE(put(bytes_));
  EXPECT_LT(network_.requests.size(), 200u);
}

TEST_F(PushTest, ChunksThatAreAcceptedAndKeptNowhereEnd) {
  registry_.largest_put = 1500;
  registry_.keep_of_patch = 0;
  EXPECT_FALSE(put(bytes_));
  EXPECT_LT(network_.requests.size(), 300u);
}

TEST_F(PushTest, ARegistryThatLosesChunksIsFoundOut) {
  registry_.chunks_like_ecr = true;
  registry_.script.push_back(fails("PUT", 413));
  const Status failed = put(bytes_);
  EXPECT_FALSE(failed);
  EXPECT_FALSE(holds(bytes_));
  ASSERT_TRUE(put(bytes_)) << "the host is known for it now, and its PUT works again";
  EXPECT_TRUE(holds(bytes_));
}

TEST_F(PushTest, AnAcknowledgementOfMoreThanWasSentIsRefused) {
  registry_.largest_put = 1500;
  auto lie = fails("PATCH", 202);
  lie.headers = {{"Range", "0-3499"}};
  registry_.script.push_back(lie);
  EXPECT_EQ(put(bytes_).error().code(), Code::kCorrupt);
}

TEST_F(PushTest, ABrokenPutBeginsAgainWithANewSession) {
  registry_.script.push_back(fails("PUT", 502));
  registry_.script.push_back(fails("PUT", 404));
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(posts(), 3u);
  EXPECT_EQ(progress_.count(Kind::kRetry), 2u);
  EXPECT_TRUE(std::ranges::find(progress_.events, Kind::kRetry, &content::Event::kind)
                  ->message.contains("502"));
}

TEST_F(PushTest, PutsThatNeverSucceedEnd) {
  registry_.script.push_back(fails("PUT", 502, 1000));
  EXPECT_EQ(put(bytes_).error().code(), Code::kUnavailable);
  EXPECT_EQ(puts(), 5u);
}

TEST_F(PushTest, ATokenThatDiesMeanwhileCostsNothing) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  log_in();
  registry_.token_uses = 1;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(posts(), 2u) << "one refused, one granted";
}

TEST_F(PushTest, ATokenThatDiesBetweenChunksCostsNothing) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  registry_.largest_put = 1500;
  log_in();
  registry_.token_uses = 2;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
}

TEST_F(PushTest, AnUploadElsewhereGetsNoLogin) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  log_in();
  FakeRegistry storage;
  storage.uploads["upload-1"] = {"ai/x", ""};
  network_.host("https://storage.example", storage);
  registry_.upload_location = "https://storage.example";
  const Status sent = put(bytes_);
  EXPECT_TRUE(storage.repos["ai/x"].blobs.contains(blob_.digest.string()))
      << sent.error().message();
  EXPECT_FALSE(network_.leaked("CANARY", {"localhost:5000"}));
}

TEST_F(PushTest, AnUploadIntoTheMachineIsRefused) {
  FakeRegistry remote;
  FakeRegistry local;
  network_.host("https://registry.example", remote);
  network_.host("https://inside.example", local, http::AddressKind::kLoopback);
  remote.upload_location = "https://inside.example";
  content::BytesFetcher from(bytes_);
  EXPECT_EQ(loop_.run(repo("registry.example").put(op_, blob_, from, progress_)).error().code(),
            Code::kDenied);
}

TEST_F(PushTest, AnUploadOutOfTlsIsRefused) {
  FakeRegistry remote;
  network_.host("https://registry.example", remote);
  network_.host("http://registry.example", remote);
  remote.upload_location = "http://registry.example";
  content::BytesFetcher from(bytes_);
  const Status refused = loop_.run(repo("registry.example").put(op_, blob_, from, progress_));
  EXPECT_EQ(refused.error().code(), Code::kDenied);
  EXPECT_TRUE(refused.error().message().contains("X-Forwarded-Proto")) << refused.error().message();
}

TEST_F(PushTest, ARedirectedUploadIsFollowed) {
  auto redirect = fails("PUT", 307);
  redirect.headers = {
      {"Location", "/v2/ai/x/blobs/uploads/upload-1?moved=1&digest=" + blob_.digest.string()}};
  registry_.script.push_back(redirect);
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
}

TEST_F(PushTest, WrongBytesAreRefused) {
  content::BytesFetcher from(std::string(3500, 'x'));
  const Status refused = loop_.run(repo().put(op_, blob_, from, progress_));
  EXPECT_EQ(refused.error().code(), Code::kDigestMismatch);
  EXPECT_EQ(puts(), 1u);
}

TEST_F(PushTest, ASourceThatEndsEarlyIsTheSourcesFault) {
  content::BytesFetcher from(std::string(100, 'x'));
  EXPECT_EQ(loop_.run(repo().put(op_, blob_, from, progress_)).error().code(), Code::kCorrupt);
  EXPECT_EQ(puts(), 1u) << "and not tried again";
}

// A source that always begins at 0, as a registry that ignores ranges.
class FromTheStart : public content::Fetcher {
 public:
  explicit FromTheStart(std::string bytes) : bytes_(std::move(bytes)) {}
  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange) override {
    ++fetches;
    co_return co_await bytes_.fetch(op, blob, {});
  }
  int fetches = 0;

 private:
  content::BytesFetcher bytes_;
};
TEST_F(PushTest, ChunksReadTheSourceOnce) {
  registry_.largest_put = 1500;
  FromTheStart from(bytes_);
  ASSERT_TRUE(loop_.run(repo().put(op_, blob_, from, progress_)));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(from.fetches, 2) << "once for the refused PUT, once for all chunks";
  registry_.script.push_back(fails("PATCH", 503));
  registry_.repos.clear();
  ASSERT_TRUE(loop_.run(repo().put(op_, blob_, from, progress_)));
  EXPECT_TRUE(holds(bytes_)) << "after a broken chunk it is read anew up to the place";
}

TEST_F(PushTest, AStoredDigestThatIsAnotherIsReported) {
  registry_.digest_lie = oci::Digest::of(as_bytes("other")).string();
  EXPECT_EQ(put(bytes_).error().code(), Code::kDigestMismatch);
}

TEST_F(PushTest, AnAcknowledgementWithoutDigestIsChecked) {
  registry_.digest_header = false;
  ASSERT_TRUE(put(bytes_));
  EXPECT_EQ(network_.count("HEAD", "/"), 2u);
  registry_.forget_blobs = true;
  const Status lost = put(bytes_ + "more");
  ASSERT_FALSE(lost);
  EXPECT_TRUE(lost.error().message().contains("acknowledged"));
}

TEST_F(PushTest, ABlobThatWasAcknowledgedAndLostIsNamed) {
  ASSERT_TRUE(put(bytes_));
  const std::string manifest = make_manifest("ai/x", bytes_);
  registry_.repos["ai/x"].blobs.erase(blob_.digest.string());
  const Status refused = put(manifest, oci::media::kManifest);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  EXPECT_TRUE(refused.error().message().contains("acknowledged " + blob_.digest.string()))
      << refused.error().message();
}

TEST_F(PushTest, AManifestThatWasAcknowledgedAndLostIsNamed) {
  const std::string manifest = make_manifest("ai/x");
  ASSERT_TRUE(put(manifest, oci::media::kManifest));
  const oci::Descriptor top = oci::describe(manifest, oci::media::kManifest);
  ASSERT_TRUE(loop_.run(repo().tag(op_, top, tag("v1"))));
  registry_.repos["ai/x"].manifests.clear();
  registry_.script.push_back(
      {.method = "PUT", .path_prefix = "/v2/ai/x/manifests/v2", .status = 201});
  const Status lost = loop_.run(repo().tag(op_, top, tag("v2")));
  ASSERT_FALSE(lost);
  EXPECT_TRUE(lost.error().message().contains("does not have it")) << lost.error().message();
}

TEST_F(PushTest, LimitsOfAHostAreExplained) {
  FakeRegistry ghcr;
  network_.host("https://ghcr.io", ghcr);
  ghcr.script.push_back(fails("PUT", 413));
  oci::Descriptor huge = blob_;
  huge.size = 11'000'000'000;
  content::BytesFetcher from(bytes_);
  const Status refused = loop_.run(repo("ghcr.io").put(op_, huge, from, progress_));
  EXPECT_EQ(refused.error().code(), Code::kTooLarge);
  EXPECT_TRUE(refused.error().message().contains("ghcr.io takes at most 10 GB a layer"))
      << refused.error().message();
  EXPECT_EQ(network_.count("PATCH", "/"), 0u) << "chunks do not work there";
}

TEST_F(PushTest, MountsFromAnotherRepository) {
  registry_.add_blob("ai/base", bytes_);
  EXPECT_TRUE(loop_.run(repo().mount(op_, blob_, "ai/base")).value());
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(network_.requests.size(), 1u);
}

TEST_F(PushTest, AMountThatIsNotGrantedOpensTheUpload) {
  EXPECT_FALSE(loop_.run(repo().mount(op_, blob_, "ai/base")).value());
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(posts(), 1u) << "its session was used";
}

TEST_F(PushTest, AMountThatIsRefusedIsNoFailure) {
  registry_.script.push_back(fails("POST", 403));
  EXPECT_FALSE(loop_.run(repo().mount(op_, blob_, "ai/base")).value());
  EXPECT_FALSE(loop_.run(repo().mount(op_, blob_, "../x")).value());
  EXPECT_EQ(network_.requests.size(), 1u);
}

TEST_F(PushTest, AMountAsksForBothRepositories) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  log_in();
  registry_.add_blob("ai/base", bytes_);
  EXPECT_TRUE(loop_.run(repo().mount(op_, blob_, "ai/base")).value());
  const auto token = std::ranges::find_if(
      network_.requests, [](const auto& seen) { return seen.url.path == "/token"; });
  EXPECT_EQ(http::query_get_all(token->url.query, "scope"),
            (std::vector<std::string>{"repository:ai/base:pull", "repository:ai/x:pull,push"}));
}

TEST_F(PushTest, PushWithoutRightsSaysHowToLogIn) {
  registry_.script.push_back(fails("POST", 403));
  const Status denied = put(bytes_);
  EXPECT_EQ(denied.error().code(), Code::kDenied);
  EXPECT_TRUE(denied.error().message().contains("berth login localhost:5000"))
      << denied.error().message();
}

}  // namespace
}  // namespace berth::remote
