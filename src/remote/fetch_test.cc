// Blobs coming: ranges, redirects, retries.
#include "remote/remote_fixture.h"

namespace berth::remote {
namespace {

using namespace std::chrono_literals;

// Serves the blobs of a registry's repository from another host, as object storage does.
class Storage : public http::Service {
 public:
  explicit Storage(FakeRegistry& registry) : registry_(registry) {}
  rt::Task<Result<http::Response>> handle(rt::Op&, http::Request request) override {
    const std::string digest = request.url.path.substr(1);
    co_return registry_.blob_bytes(request, registry_.repos["ai/x"].blobs.at(digest), digest);
  }

 private:
  FakeRegistry& registry_;
};

// Redirects everything to `to`.
class Redirector : public http::Service {
 public:
  explicit Redirector(std::string to) : to_(std::move(to)) {}
  rt::Task<Result<http::Response>> handle(rt::Op&, http::Request) override {
    http::Response response;
    response.status = 302;
    response.headers.set("Location", to_);
    co_return response;
  }

 private:
  std::string to_;
};

std::string bytes_of(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

TEST_F(RemoteTest, FetchesWholeAndInPart) {
  const std::string bytes = bytes_of(5000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  EXPECT_EQ(fetch(blob).value(), bytes);
  EXPECT_EQ(fetch(blob, {.offset = 4000, .length = {}}).value(), bytes.substr(4000));
  EXPECT_EQ(fetch(blob, {.offset = 10, .length = 20}).value(), bytes.substr(10, 20));
  EXPECT_EQ(fetch(blob, {.offset = 5000, .length = {}}).value(), "");
  EXPECT_EQ(fetch(blob, {.offset = 5001, .length = {}}).error().code(), Code::kBadRange);
  EXPECT_EQ(network_.requests.size(), 3u);
  EXPECT_FALSE(network_.requests[0].headers.get("Range"));
  EXPECT_EQ(network_.requests[2].headers.get("Range"), "bytes=10-29");
}

TEST_F(RemoteTest, TheEmptyBlobComesToo) {
  EXPECT_EQ(fetch(registry_.add_blob("ai/x", "")).value(), "");
}

TEST_F(RemoteTest, AServerThatIgnoresRangesBeginsAtTheBeginning) {
  registry_.ignore_ranges = true;
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  const auto source = loop_.run(repo().fetch(op_, blob, {.offset = 1000, .length = {}}));
  ASSERT_TRUE(source);
  EXPECT_EQ(source->offset, 0u);
  EXPECT_EQ(source->size, 3000u);
}

TEST_F(RemoteTest, LyingRangesAreRefused) {
  const auto blob = registry_.add_blob("ai/x", bytes_of(3000));
  for (const char* lie : {"bytes 0-1999/3000", "bytes 1000-2999/4000", "bytes 1000-2998/3000",
                          "bytes 1001-2999/3000", "garbage", "bytes 1000-3999/5000"}) {
    registry_.content_range = lie;
    const auto refused = fetch(blob, {.offset = 1000, .length = {}});
    ASSERT_FALSE(refused) << lie;
    EXPECT_EQ(refused.error().code(), Code::kCorrupt) << lie;
  }
}

TEST_F(RemoteTest, APartialAnswerToAWholeQuestionIsRefused) {
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 206,
                              .headers = {{"Content-Range", "bytes 0-1/4"}},
                              .body = "ab"});
  EXPECT_FALSE(fetch(oci::describe("abcd", "x")));
}

TEST_F(RemoteTest, AnotherSizeIsRefusedBeforeReading) {
  auto blob = registry_.add_blob("ai/x", bytes_of(100));
  blob.size = 99;
  EXPECT_EQ(fetch(blob).error().code(), Code::kCorrupt);
}

TEST_F(RemoteTest, ABodyOfAnotherLengthThanPromisedIsFoundOut) {
  const auto blob = oci::describe("abcd", "x");
  registry_.script.push_back(
      {.method = "GET", .path_prefix = "/v2/ai/x/blobs", .status = 200, .body = "abcde"});
  EXPECT_EQ(fetch(blob).error().code(), Code::kCorrupt);
  registry_.script.push_back(
      {.method = "GET", .path_prefix = "/v2/ai/x/blobs", .status = 200, .body = "abc"});
  EXPECT_EQ(fetch(blob).error().code(), Code::kUnavailable);
}

TEST_F(RemoteTest, CompressionThatNobodyAskedForIsRefused) {
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 200,
                              .headers = {{"Content-Encoding", "gzip"}},
                              .body = "abcd"});
  EXPECT_EQ(fetch(oci::describe("abcd", "x")).error().code(), Code::kCorrupt);
  EXPECT_EQ(network_.requests[0].headers.get("Accept-Encoding"), "identity");
}

TEST_F(RemoteTest, ACutBodyIsAFailureAndTheRestCanBeFetched) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  for (const auto end : {PieceReader::End::kBroken, PieceReader::End::kClean}) {
    registry_.cut_blobs_after = 1234;
    registry_.cut_end = end;
    EXPECT_EQ(fetch(blob).error().code(), Code::kUnavailable);
  }
  registry_.cut_blobs_after.reset();
  EXPECT_EQ(fetch(blob, {.offset = 1234, .length = {}}).value(), bytes.substr(1234));
}

TEST_F(RemoteTest, ARedirectLeavesTheLoginBehind) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  log_in();
  Storage storage(registry_);
  network_.host("https://storage.example", storage);
  network_.host("http://localhost:9000", storage, http::AddressKind::kLoopback);
  const std::string bytes = bytes_of(2000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  for (const char* to : {"https://storage.example/", "http://localhost:9000/"}) {
    registry_.blob_redirect = to;
    EXPECT_EQ(fetch(blob, {.offset = 500, .length = {}}).value(), bytes.substr(500))
        << "the range goes along";
  }
  EXPECT_FALSE(network_.leaked("CANARY", {"localhost:5000"}));
  EXPECT_EQ(network_.requests.back().authorization(), "");
}

TEST_F(RemoteTest, ARedirectOnTheRegistryItselfKeepsTheLogin) {
  registry_.auth = FakeRegistry::Auth::kBasic;
  log_in();
  const auto blob = registry_.add_blob("ai/x", "abc");
  registry_.script.push_back(
      {.method = "GET",
       .path_prefix = "/v2/ai/x/blobs",
       .status = 307,
       .headers = {{"Location", "/v2/ai/x/blobs/" + blob.digest.string() + "?signed=1"}}});
  EXPECT_EQ(fetch(blob).value(), "abc");
}

TEST_F(RemoteTest, APlaceThatARedirectNamesMayNotAskForTheLogin) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  log_in();
  FakeRegistry thief;
  thief.auth = FakeRegistry::Auth::kBasic;
  network_.host("https://thief.example", thief);
  registry_.blob_redirect = "https://thief.example/v2/ai/x/blobs/";
  EXPECT_EQ(fetch(registry_.add_blob("ai/x", "abc")).error().code(), Code::kUnauthenticated);
  EXPECT_FALSE(network_.leaked("CANARY", {"localhost:5000"}));
}

TEST_F(RemoteTest, EndlessRedirectsEnd) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  registry_.blob_redirect = "http://localhost:5000/v2/ai/x/blobs/";
  EXPECT_EQ(fetch(blob).error().code(), Code::kCorrupt);
  EXPECT_EQ(network_.requests.size(), 6u);
}

TEST_F(RemoteTest, ARedirectOutOfTlsIsRefused) {
  FakeRegistry secure;
  network_.host("https://registry.example", secure);
  Storage storage(secure);
  network_.host("http://storage.example", storage);
  secure.blob_redirect = "http://storage.example/";
  const auto blob = secure.add_blob("ai/x", "abc");
  EXPECT_EQ(loop_.run(fetch_all(op_, repo("registry.example"), blob, {})).error().code(),
            Code::kDenied);
  EXPECT_EQ(network_.requests.size(), 1u);
}

// Registry on one kind of address, storage on another: whether the redirect is followed.
struct Reach {
  http::AddressKind registry;
  http::AddressKind storage;
  bool allowed;
};
class ReachTest : public RemoteTest, public testing::WithParamInterface<Reach> {};
TEST_P(ReachTest, PlacesThatAServerNamesAreNoNearerThanItself) {
  FakeRegistry remote;
  network_.host("https://registry.example", remote, GetParam().registry);
  Storage storage(remote);
  network_.host("https://storage.example", storage, GetParam().storage);
  remote.blob_redirect = "https://storage.example/";
  const auto blob = remote.add_blob("ai/x", "abc");
  const auto fetched = loop_.run(fetch_all(op_, repo("registry.example"), blob, {}));
  EXPECT_EQ(fetched.has_value(), GetParam().allowed);
  if (!fetched) EXPECT_EQ(fetched.error().code(), Code::kDenied);
}
using enum http::AddressKind;
INSTANTIATE_TEST_SUITE_P(
    Kinds, ReachTest,
    testing::Values(Reach{kPublic, kPublic, true}, Reach{kPublic, kPrivate, false},
                    Reach{kPublic, kLoopback, false}, Reach{kPublic, kLinkLocal, false},
                    Reach{kPrivate, kPrivate, true}, Reach{kPrivate, kPublic, true},
                    Reach{kPrivate, kLoopback, false}, Reach{kPrivate, kLinkLocal, false},
                    Reach{kLoopback, kPrivate, true}, Reach{kLoopback, kLoopback, true},
                    Reach{kLoopback, kLinkLocal, false}, Reach{kLinkLocal, kLinkLocal, false}));

TEST_F(RemoteTest, ARegistryThatMovesNearerAfterItsFirstAnswerIsRefused) {
  FakeRegistry remote;
  network_.host("https://registry.example", remote);
  const auto blob = remote.add_blob("ai/x", "abc");
  ASSERT_TRUE(loop_.run(fetch_all(op_, repo("registry.example"), blob, {})));
  network_.host("https://registry.example", remote, http::AddressKind::kLoopback);
  EXPECT_EQ(loop_.run(fetch_all(op_, repo(), blob, {})).error().code(), Code::kDenied);
}

TEST_F(RemoteTest, TheCloudsMetadataIsNeverFetched) {
  Redirector to_metadata("http://169.254.169.254/latest/meta-data/");
  network_.host("http://127.0.0.1:7000", to_metadata, http::AddressKind::kLoopback);
  EXPECT_EQ(loop_.run(fetch_all(op_, repo("127.0.0.1:7000"), oci::describe("abc", "x"), {}))
                .error()
                .code(),
            Code::kDenied);
}

TEST_F(RemoteTest, BusyServersAreTriedAgain) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 503,
                              .headers = {{"Retry-After", "7"}}});
  registry_.script.push_back({.method = "GET", .path_prefix = "/v2/ai/x/blobs", .status = 500});
  EXPECT_EQ(fetch(blob).value(), "abc");
  ASSERT_EQ(slept_.size(), 2u);
  EXPECT_EQ(slept_[0], 7s);
  EXPECT_GE(slept_[1], 250ms) << "the second wait is longer than the first";
  EXPECT_LE(slept_[1], 500ms);
}

TEST_F(RemoteTest, BrokenConnectionsAreTriedAgainButNotForever) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  network_.refuse_connections = 3;
  EXPECT_EQ(fetch(blob).value(), "abc");
  network_.refuse_connections = 1000;
  EXPECT_EQ(fetch(blob).error().code(), Code::kUnavailable);
  EXPECT_EQ(network_.refuse_connections, 995);
}

TEST_F(RemoteTest, AWaitThatIsTooLongIsSaidInsteadOfWaited) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  registry_.script.push_back(
      {.method = "GET",
       .path_prefix = "/v2/ai/x/blobs",
       .status = 429,
       .headers = {{"Retry-After", "3600"}},
       .body = R"({"errors":[{"code":"TOOMANYREQUESTS","message":"pull limit"}]})"});
  const auto limited = fetch(blob);
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code(), Code::kRateLimited);
  EXPECT_EQ(limited.error().retry_after(), 3600s);
  EXPECT_TRUE(limited.error().message().contains("pull limit"));
  EXPECT_TRUE(slept_.empty());
}

TEST_F(RemoteTest, RetryAfterHasABudget) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 503,
                              .headers = {{"Retry-After", "50"}},
                              .times = 10});
  EXPECT_FALSE(fetch(blob));
  EXPECT_EQ(slept_.size(), 2u) << "120 s in all";
}

TEST_F(RemoteTest, ACancelledOperationEndsTheRetries) {
  network_.refuse_connections = 1000;
  op_.cancel();
  EXPECT_EQ(fetch(oci::describe("abc", "x")).error().code(), Code::kCancelled);
  EXPECT_TRUE(slept_.empty());
}

}  // namespace
}  // namespace berth::remote
