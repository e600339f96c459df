// Blobs coming: ranges, redirects, retries.
#include <zlib.h>

#include "remote/remote_fixture.h"
#include "remote/throttle.h"
#include "rt/async.h"

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

TEST_F(RemoteTest, LyingRangesAreNotBelieved) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  for (const char* lie : {"bytes 0-1999/3000", "bytes 1000-2999/4000", "bytes 1000-2998/3000",
                          "bytes 1001-2999/3000", "garbage", "bytes 1000-3999/5000"}) {
    repo_.reset();  // a host that nothing is known of
    registry_.content_range = lie;
    const auto source = loop_.run(repo().fetch(op_, blob, {.offset = 1000, .length = {}}));
    ASSERT_TRUE(source) << lie << ": " << source.error().message();
    EXPECT_EQ(source->offset, 0u) << lie << ": the whole blob came instead";
    EXPECT_EQ(fetch(blob, {.offset = 1000, .length = {}}).value(), bytes) << lie;
    EXPECT_FALSE(network_.requests.back().headers.get("Range")) << "the host is known for it now";
  }
}

TEST_F(RemoteTest, OneLieIsForgiven) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 206,
                              .headers = {{"Content-Range", "bytes 5-9/3000"}},
                              .body = "12345"});
  EXPECT_EQ(fetch(blob, {.offset = 1000, .length = {}}).value(), bytes.substr(1000));
  EXPECT_TRUE(network_.requests.back().headers.get("Range"));
}

TEST_F(RemoteTest, ARangeThatIsRefusedThoughItIsInsideIsGivenUp) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  registry_.script.push_back(
      {.method = "GET", .path_prefix = "/v2/ai/x/blobs", .status = 416, .times = 2});
  const auto source = loop_.run(repo().fetch(op_, blob, {.offset = 1000, .length = {}}));
  ASSERT_TRUE(source) << source.error().message();
  EXPECT_EQ(source->offset, 0u);
}

// Reads until the reader fails.
Task<Status> read_some(rt::Op& op, rt::Reader& reader, std::string& into) {
  std::array<std::byte, 400> buffer{};
  while (true) {
    CO_TRY(const std::size_t count, co_await reader.read(op, buffer));
    if (count == 0) co_return Status();
    into += as_text(std::span(buffer).first(count));
  }
}

TEST_F(RemoteTest, AShortPartIsABeginningThatEndsAsACutDoes) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 206,
                              .headers = {{"Content-Range", "bytes 1000-1499/3000"}},
                              .body = bytes.substr(1000, 500)});
  auto source = loop_.run(repo().fetch(op_, blob, {.offset = 1000, .length = {}}));
  ASSERT_TRUE(source);
  EXPECT_EQ(source->offset, 1000u);
  std::string came;
  const Status ended = loop_.run(read_some(op_, *source->reader, came));
  EXPECT_EQ(came, bytes.substr(1000, 500));
  EXPECT_EQ(ended.error().code(), Code::kUnavailable) << "the rest is to be asked for";
}

TEST_F(RemoteTest, WhatADownloadIsAndWhatAnUploadReadsOfItGoesOnAfterACut) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  registry_.cut_blobs_after = 1234;
  const auto to = open().repository("ai/y").value();
  registry_.repos["ai/y"];
  ASSERT_TRUE(loop_.run(to->put(op_, blob, repo(), progress_)))
      << "each cut came further than the one before";
  EXPECT_EQ(registry_.repos["ai/y"].blobs.begin()->second, bytes);
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

std::string gzip(const std::string& bytes) {
  std::string packed(compressBound(bytes.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}
FakeRegistry::Scripted packed_answer(std::string body, int status = 200, http::Headers more = {}) {
  more.set("Content-Encoding", "gzip");
  more.set("Content-Length", std::to_string(body.size()));
  return {.method = "GET",
          .path_prefix = "/v2/ai/x/",
          .status = status,
          .headers = std::move(more),
          .body = std::move(body)};
}

TEST_F(RemoteTest, CompressionThatNobodyAskedForIsUndone) {
  const std::string bytes = bytes_of(300'000);
  const auto blob = oci::describe(bytes, "x");
  registry_.script.push_back(packed_answer(gzip(bytes)));
  EXPECT_EQ(fetch(blob).value(), bytes);
  registry_.script.push_back(packed_answer(gzip(bytes.substr(0, 1000)) + gzip(bytes.substr(1000))));
  EXPECT_EQ(fetch(blob).value(), bytes) << "of two members";
  registry_.script.push_back(packed_answer(gzip(bytes).substr(0, 500)));
  EXPECT_EQ(fetch(blob).error().code(), Code::kUnavailable) << "cut";
  registry_.script.push_back(packed_answer(gzip(bytes + "x")));
  EXPECT_EQ(fetch(blob).error().code(), Code::kCorrupt) << "longer than the blob";
}

TEST_F(RemoteTest, ABombIsRefused) {
  const auto blob = oci::describe(bytes_of(1000), "x");
  registry_.script.push_back(packed_answer(gzip(std::string(50'000'000, '\0'))));
  EXPECT_EQ(fetch(blob).error().code(), Code::kCorrupt);
  std::string empty_members;
  for (int i = 0; i < 10'000; ++i) empty_members += gzip("");
  registry_.script.push_back(packed_answer(empty_members));
  EXPECT_EQ(fetch(blob).error().code(), Code::kCorrupt) << "endless, and nothing comes of it";
}

TEST_F(RemoteTest, APartThatIsCompressedIsNoPart) {
  const std::string bytes = bytes_of(3000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  const std::string part = gzip(bytes.substr(1000));
  for (int i = 0; i < 2; ++i) {
    registry_.script.push_back(
        packed_answer(part, 206, {{"Content-Range", "bytes 1000-2999/3000"}}));
  }
  EXPECT_EQ(fetch(blob, {.offset = 1000, .length = {}}).value(), bytes) << "whole, as it is";
}

TEST_F(RemoteTest, ACompressedManifestIsReadWithinItsBound) {
  const std::string manifest = make_manifest("ai/x");
  const auto top = registry_.add_manifest("ai/x", "latest", manifest);
  registry_.script.push_back(packed_answer(gzip(manifest)));
  EXPECT_EQ(fetch(top).value(), manifest);
  registry_.script.push_back(packed_answer(gzip(std::string(20'000'000, ' '))));
  repo_.reset();
  EXPECT_FALSE(fetch(top));
}

TEST_F(RemoteTest, OtherCompressionIsRefused) {
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 200,
                              .headers = {{"Content-Encoding", "br"}},
                              .body = "abcd"});
  EXPECT_EQ(fetch(oci::describe("abcd", "x")).error().code(), Code::kCorrupt);
  registry_.script.push_back(packed_answer("abcd"));
  EXPECT_EQ(fetch(oci::describe("abcd", "x")).error().code(), Code::kCorrupt) << "it is no gzip";
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
  EXPECT_EQ(fetch(registry_.add_blob("ai/x", "abc")).error().code(), Code::kUnavailable);
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

rt::Task<Result<http::Response>> after_a_turn(rt::Loop& loop, Send send, rt::Op& op,
                                              http::Request request, http::AddressPolicy policy) {
  CO_TRY_OK(co_await rt::blocking(loop, [] { return Status(); }));
  co_return co_await send(op, std::move(request), policy);
}
rt::Task<Status> expect_blob(Repository& repository, rt::Op& op, oci::Descriptor blob) {
  CO_TRY(const bool there, co_await repository.has(op, std::move(blob)));
  EXPECT_TRUE(there);
  co_return Status();
}
rt::Task<Status> expect_blob_often(rt::Loop& loop, Repository& repository, rt::Op& op,
                                   oci::Descriptor blob) {
  rt::Scope scope(loop);
  for (int turn = 0; turn < 8; ++turn) scope.spawn(expect_blob(repository, op, blob));
  co_return co_await scope.join();
}
TEST_F(RemoteTest, ManyFirstRequestsAtOnceAllFindTheRegistry) {
  options_.send = [this, send = network_.send()](rt::Op& op, http::Request request,
                                                 http::AddressPolicy policy) {
    return after_a_turn(loop_, send, op, std::move(request), policy);
  };
  const auto blob = registry_.add_blob("ai/x", "abc");
  const Status done = loop_.run(expect_blob_often(loop_, repo(), op_, blob));
  EXPECT_TRUE(done) << done.error().message();
}

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
  EXPECT_TRUE(limited.error().message().contains("it asks to wait 1h"))
      << limited.error().message();
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

TEST_F(RemoteTest, TheBudgetIsTheHostsNotTheRequests) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  const FakeRegistry::Scripted busy{.method = "GET",
                                    .path_prefix = "/v2/ai/x/blobs",
                                    .status = 429,
                                    .headers = {{"Retry-After", "50"}}};
  registry_.script = {busy};
  EXPECT_EQ(fetch(blob).value(), "abc");
  registry_.script = {busy};
  EXPECT_EQ(fetch(blob).value(), "abc");
  registry_.script = {busy};
  const auto limited = fetch(blob);
  ASSERT_FALSE(limited) << "a third 50 s would be more than 120 s of this host";
  EXPECT_EQ(limited.error().code(), Code::kRateLimited);
  registry_.script = {busy};
  clock_ += 11min;
  EXPECT_EQ(fetch(blob).value(), "abc") << "it asked for nothing for a while";
}

TEST_F(RemoteTest, WhatOneRequestIsToldTheOthersWaitFor) {
  const auto blob = registry_.add_blob("ai/x", "abc");
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs",
                              .status = 503,
                              .headers = {{"Retry-After", "30"}}});
  // Its own waits take no time here, so the second request comes while the host wants its rest.
  options_.retry.sleep = [this](rt::Op& op, std::chrono::milliseconds time) {
    return note_sleep(slept_, op, time);
  };
  EXPECT_EQ(fetch(blob).value(), "abc");
  std::vector<std::string> told;
  repo().set_manner({.on_wait = [&told](const std::string& what) { told.push_back(what); }});
  EXPECT_EQ(fetch(blob).value(), "abc");
  EXPECT_EQ(slept_.back(), 30s);
  ASSERT_FALSE(told.empty());
  EXPECT_TRUE(told.back().contains("waiting 30")) << told.back();
}

TEST_F(RemoteTest, APlaceThatIsStaleIsAskedForAnew) {
  Storage storage(registry_);
  network_.host("https://storage.example", storage);
  FakeRegistry stale;
  network_.host("https://stale.example", stale);
  stale.script.push_back({.method = "GET", .path_prefix = "/", .status = 403, .times = 1000});
  const auto blob = registry_.add_blob("ai/x", "abc");
  const FakeRegistry::Scripted moved{
      .method = "GET",
      .path_prefix = "/v2/ai/x/blobs",
      .status = 307,
      .headers = {{"Location", "https://stale.example/" + blob.digest.string()}}};
  registry_.blob_redirect = "https://storage.example/";
  registry_.script = {moved};
  EXPECT_EQ(fetch(blob).value(), "abc") << "the second place was good";
  registry_.script = {moved};
  registry_.script.front().times = 1000;
  const auto never = fetch(blob);
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code(), Code::kUnavailable) << "not a matter of our login";
  EXPECT_TRUE(never.error().message().contains("stale.example")) << never.error().message();
}

TEST_F(RemoteTest, ARateIsKept) {
  options_.throttle = std::make_shared<Throttle>(1'000'000, options_.retry);
  const std::string bytes = bytes_of(500'000);
  const auto blob = registry_.add_blob("ai/x", bytes);
  EXPECT_EQ(fetch(blob).value(), bytes);
  EXPECT_GE(clock_.time_since_epoch(), 490ms);
  EXPECT_LE(clock_.time_since_epoch(), 1500ms);
  const auto before = clock_;
  repo().set_manner({.limit_rate = 100'000});
  EXPECT_TRUE(put(bytes_of(100'000)));
  EXPECT_GE(clock_ - before, 990ms) << "the slower of the two counts, and uploads as well";
}

TEST_F(RemoteTest, MirrorsOfAnyRegistryInTheirOrder) {
  FakeRegistry first;
  FakeRegistry second;
  FakeRegistry origin;
  network_.host("https://first.example", first);
  network_.host("https://second.example", second);
  network_.host("https://registry.example", origin);
  options_.hosts["registry.example"] = {.mirrors = {"first.example", "https://second.example/pre"},
                                        .headers = {{"X-Team", Secret("CANARY-header")}}};
  const auto blob = second.add_blob("pre/v2/none", "abc");
  second.script.push_back(
      {.method = "GET", .path_prefix = "/pre/v2/ai/x", .status = 200, .body = "abc"});
  EXPECT_EQ(loop_.run(fetch_all(op_, repo("registry.example"), blob, {})).value(), "abc");
  ASSERT_EQ(network_.requests.size(), 2u);
  EXPECT_EQ(network_.requests[0].url.host, "first.example");
  EXPECT_EQ(network_.requests[1].url.path, "/pre/v2/ai/x/blobs/" + blob.digest.string());
  EXPECT_EQ(http::query_get(network_.requests[1].url.query, "ns"), "registry.example");
  origin.add_blob("ai/x", "only there");
  EXPECT_EQ(loop_.run(fetch_all(op_, repo(), oci::describe("only there", "x"), {})).value(),
            "only there");
  EXPECT_EQ(network_.requests.back().headers.get("X-Team"), "CANARY-header");
  EXPECT_FALSE(network_.leaked("CANARY", {"registry.example"}));
}

TEST_F(RemoteTest, AMirrorThatIsDownIsLeftAloneForAWhile) {
  FakeRegistry origin;
  network_.host("https://registry.example", origin);
  FakeRegistry mirror;
  options_.hosts["registry.example"].mirrors = {"https://mirror.example"};
  const auto blob = origin.add_blob("ai/x", "abc");
  const auto get = [&] { return loop_.run(fetch_all(op_, repo("registry.example"), blob, {})); };
  EXPECT_EQ(get().value(), "abc");
  network_.host("https://mirror.example", mirror);
  mirror.add_blob("ai/x", "abc");
  EXPECT_EQ(get().value(), "abc");
  EXPECT_EQ(network_.requests.back().url.host, "registry.example");
  clock_ += 61s;
  EXPECT_EQ(get().value(), "abc");
  EXPECT_EQ(network_.requests.back().url.host, "mirror.example");
}

TEST_F(RemoteTest, ACancelledOperationEndsTheRetries) {
  network_.refuse_connections = 1000;
  op_.cancel();
  EXPECT_EQ(fetch(oci::describe("abc", "x")).error().code(), Code::kCancelled);
  EXPECT_TRUE(slept_.empty());
}

}  // namespace
}  // namespace berth::remote
