// A mirror over a real depot and a registry in memory.
#include "mirror/mirror.h"

#include <array>

#include "depot/depot_fixture.h"
#include "remote/fake_registry.h"

namespace berth::mirror {
namespace {

using std::chrono::seconds;

rt::Task<Status> no_pause(rt::Op& op, std::chrono::milliseconds) { co_return op.check(); }

rt::Task<Result<std::string>> read_all(rt::Op& op, depot::OpenBlob blob, std::uint64_t offset = 0) {
  std::string all;
  std::array<std::byte, 10'000> buffer{};
  const auto reader = blob.arriving->read(offset, blob.size - offset);
  for (;;) {
    CO_TRY(const std::size_t count, co_await reader->read(op, buffer));
    if (count == 0) co_return all;
    all += as_text(std::span(buffer).first(count));
  }
}

using Found = Result<std::shared_ptr<const depot::StoredManifest>>;
rt::Task<Status> keep(rt::Task<Found> task, std::vector<Found>& into) {
  into.push_back(co_await std::move(task));
  co_return Status();
}
rt::Task<Status> all_at_once(rt::Loop& loop, rt::Op& op, depot::Depot depot, std::string repository,
                             oci::Digest digest, std::vector<Found>& into) {
  rt::Scope scope(loop);
  for (int i = 0; i < 5; ++i)
    scope.spawn(keep(depot.manifests.find_manifest(op, repository, digest), into));
  co_return co_await scope.join();
}

std::string long_text(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 7;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

class MirrorTest : public depot::DepotTest {
 public:
  void SetUp() override {
    DepotTest::SetUp();
    network_.host("http://localhost:5000", upstream_, http::AddressKind::kLoopback);
    remote::RegistryOptions remote{.send = network_.send()};
    remote.retry.sleep = no_pause;
    // Must not be asked: they may be this registry.
    remote.hosts["localhost:5000"].mirrors = {"http://localhost:5000"};
    mirror_ = Mirror::open(*loop_, depot_->seam(), depot_->intake(), metrics_,
                           parse_entries({"up=localhost:5000"}).value(), std::move(remote),
                           {.check = seconds(60), .now = [this] { return clock_; }})
                  .value();
  }
  void TearDown() override {
    EXPECT_TRUE(loop_->run(mirror_->close()));
    mirror_.reset();
  }

  depot::Depot there() { return mirror_->seam(); }
  auto resolve_there(const std::string& tag) {
    return run(there().manifests.resolve(op_, "up/ai/x", tag));
  }
  auto open_there(const oci::Digest& digest, const std::string& repository = "up/ai/x") {
    return run(there().blobs.open_blob(op_, repository, digest));
  }
  oci::Descriptor artifact(const std::string& tag, const std::string& layer) {
    const auto config = upstream_.add_blob("ai/x", "{}");
    const auto blob = upstream_.add_blob("ai/x", layer);
    return upstream_.add_manifest(
        "ai/x", tag,
        fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}})",
                    oci::media::kManifest, json::serialize(oci::to_json(config)),
                    json::serialize(oci::to_json(blob))));
  }
  bool counted(std::string_view sample) const { return metrics_.text().contains(sample); }

  remote::FakeNetwork network_;
  remote::FakeRegistry upstream_;
  metrics::Registry metrics_;
  rt::SteadyTime clock_{seconds(1000)};
  std::unique_ptr<Mirror> mirror_;
};

TEST_F(MirrorTest, ATagIsAskedForByHeadWhenItsAnswerIsOld) {
  const auto first = artifact("v", "one");
  EXPECT_EQ(resolve_there("v").value(), first.digest);
  EXPECT_EQ(network_.count("HEAD", "/v2/ai/x/manifests/v"), 1u);
  EXPECT_EQ(network_.count("GET", "/v2/"), 1u);
  const auto second = artifact("v", "two");
  EXPECT_EQ(resolve_there("v").value(), first.digest);
  EXPECT_EQ(network_.requests.size(), 2u);
  clock_ += seconds(61);
  EXPECT_EQ(resolve_there("v").value(), second.digest);
  clock_ += seconds(61);
  EXPECT_EQ(resolve_there("v").value(), second.digest);
  EXPECT_EQ(network_.count("GET", "/v2/"), 2u);
  const auto moves = run(seam().lists.history(op_, "up/ai/x", "v", depot::kNewestMove, 10)).value();
  ASSERT_EQ(moves.size(), 2u);
  EXPECT_EQ(moves[0].actor, "mirror:localhost:5000");
}

TEST_F(MirrorTest, WhatIsHereIsServedWhileUpstreamCannotBeAsked) {
  const auto manifest = artifact("v", "one");
  ASSERT_TRUE(resolve_there("v").value());
  for (const int status : {500, 429, 401, 403}) {
    clock_ += seconds(100);
    upstream_.script.push_back(
        {.method = "HEAD", .path_prefix = "/v2/", .status = status, .times = 9});
    EXPECT_EQ(resolve_there("v").value(), manifest.digest) << status;
    upstream_.script.clear();
    const auto stale = there().lists.stale("up/ai/x", "v");
    ASSERT_TRUE(stale) << status;
    EXPECT_EQ(stale->upstream, "localhost:5000");
    EXPECT_LE(stale->since, std::chrono::system_clock::now());
    EXPECT_FALSE(there().lists.stale("up/ai/x", "w")) << "it was not asked for";
    EXPECT_FALSE(there().lists.stale("mine", "v"));
  }
  clock_ += seconds(400);
  EXPECT_EQ(resolve_there("v").value(), manifest.digest);
  EXPECT_FALSE(there().lists.stale("up/ai/x", "v")) << "upstream answers again";
  EXPECT_TRUE(counted("berth_registry_mirror_stale_total{upstream=\"localhost:5000\"} 4"));
  clock_ += seconds(100);
  network_.refuse_connections = 9;
  EXPECT_EQ(resolve_there("v").value(), manifest.digest);
  const int left = network_.refuse_connections;
  // It rests: nobody waits for the same failure again.
  EXPECT_EQ(resolve_there("w").error().code(), Code::kUnavailable);
  EXPECT_EQ(
      run(there().manifests.find_manifest(op_, "up/ai/x", oci::Digest::of({}))).error().code(),
      Code::kUnavailable);
  EXPECT_EQ(network_.refuse_connections, left);
  network_.refuse_connections = 0;
  clock_ += seconds(11);
  artifact("w", "two");
  EXPECT_TRUE(resolve_there("w").value());
}

TEST_F(MirrorTest, UpstreamIsLeftAloneAsLongAsItAsksFor) {
  upstream_.script.push_back({.method = "HEAD",
                              .path_prefix = "/v2/",
                              .status = 429,
                              .headers = {{"Retry-After", "60"}},
                              .times = 9});
  const auto found = resolve_there("v");
  EXPECT_EQ(found.error().code(), Code::kRateLimited);
  EXPECT_EQ(found.error().retry_after(), seconds(60));
  upstream_.script.clear();
  const std::size_t asked = network_.requests.size();
  EXPECT_EQ(asked, 1u);
  clock_ += seconds(59);
  EXPECT_EQ(resolve_there("v").error().code(), Code::kRateLimited);
  EXPECT_EQ(network_.requests.size(), asked);
  clock_ += seconds(2);
  EXPECT_EQ(resolve_there("v").value(), std::nullopt);
}

TEST_F(MirrorTest, OthersCredentialsAreNotTheCallersAffair) {
  upstream_.auth = remote::FakeRegistry::Auth::kBasic;
  const auto found = resolve_there("v");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kUnavailable);
  EXPECT_NE(found.error().message().find("localhost:5000"), std::string::npos);
}

TEST_F(MirrorTest, ATagThatUpstreamTookAwayGoes) {
  const auto manifest = artifact("v", "one");
  ASSERT_TRUE(resolve_there("v").value());
  upstream_.repos["ai/x"].tags.clear();
  clock_ += seconds(61);
  EXPECT_EQ(resolve_there("v").value(), std::nullopt);
  EXPECT_EQ(resolve("up/ai/x", "v"), std::nullopt);
  EXPECT_NE(run(there().manifests.find_manifest(op_, "up/ai/x", manifest.digest)).value(), nullptr);
  const std::size_t asked = network_.requests.size();
  EXPECT_EQ(resolve_there("v").value(), std::nullopt);
  EXPECT_EQ(network_.requests.size(), asked);
  upstream_.repos["ai/x"].tags["v"] = manifest.digest.string();
  clock_ += seconds(6);
  EXPECT_EQ(resolve_there("v").value(), manifest.digest);
}

TEST_F(MirrorTest, ManyWhoAskForAManifestAreOneTransfer) {
  const auto manifest = artifact("v", "one");
  std::vector<Found> found;
  ASSERT_TRUE(run(all_at_once(*loop_, op_, there(), "up/ai/x", manifest.digest, found)));
  ASSERT_EQ(found.size(), 5u);
  for (const auto& one : found) EXPECT_EQ(one.value()->digest, manifest.digest);
  EXPECT_EQ(network_.count("GET", "/v2/"), 1u);
}

TEST_F(MirrorTest, ABlobIsReadWhileItComesAndIsHereThen) {
  const std::string bytes = long_text(300'000);
  const auto blob = upstream_.add_blob("ai/x", bytes);
  auto open = open_there(blob.digest).value();
  ASSERT_TRUE(open && open->arriving);
  EXPECT_EQ(run(read_all(op_, std::move(*open), 1000)).value(), bytes.substr(1000));
  // The last byte is given when the digest was right; that it is here follows.
  while (!find("up/ai/x", blob.digest)) {
  }
  EXPECT_FALSE(open_there(blob.digest).value()->arriving);
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/blobs/"), 1u);
  EXPECT_TRUE(counted("berth_registry_mirror_bytes_total{upstream=\"localhost:5000\"} 300000"));
}

// Whoever may push upstream could otherwise read what they know the digest of.
TEST_F(MirrorTest, AManifestUpstreamOpensNothingThatOnlyThisRegistryHas) {
  const oci::Digest secret = push("private/model", "the secret weights");
  artifact("v", "the secret weights");
  upstream_.repos["ai/x"].blobs.erase(secret.string());  // named by the manifest, and not there
  ASSERT_TRUE(resolve_there("v").value());
  EXPECT_EQ(open_there(secret).value(), std::nullopt);
  EXPECT_FALSE(find("up/ai/x", secret));
  EXPECT_TRUE(find("private/model", secret));
}

TEST_F(MirrorTest, NobodyGetsAWholeBlobThatIsWrong) {
  const std::string bytes = long_text(300'000);
  const auto blob = upstream_.add_blob("ai/x", bytes);
  std::string& held = upstream_.repos["ai/x"].blobs[blob.digest.string()];
  held[7] ^= 1;
  auto open = open_there(blob.digest).value();
  ASSERT_TRUE(open && open->arriving);
  EXPECT_EQ(run(read_all(op_, std::move(*open), 100)).error().code(), Code::kUnavailable);
  // Not even its end.
  const auto again = open_there(blob.digest);
  EXPECT_EQ(again.error().code(), Code::kUnavailable);
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/blobs/"), 1u);
  EXPECT_FALSE(has_file(blob.digest));
  EXPECT_EQ(ingests(), 0u);
  held[7] ^= 1;
  clock_ += seconds(11);
  auto right = open_there(blob.digest).value();
  ASSERT_TRUE(right && right->arriving);
  EXPECT_EQ(run(read_all(op_, std::move(*right))).value(), bytes);
}

TEST_F(MirrorTest, ABlobIsShownWhereUpstreamShowsIt) {
  const oci::Digest mine = push("team/secret", "for few");
  EXPECT_EQ(open_there(mine).value().has_value(), false);
  EXPECT_EQ(run(there().blobs.find_blob(op_, "up/ai/x", mine)).value(), std::nullopt);
  upstream_.add_blob("ai/y", "for few");
  const auto open = open_there(mine, "up/ai/y");
  ASSERT_TRUE(open.value());
  EXPECT_FALSE(open.value()->arriving);
  EXPECT_EQ(network_.count("GET", "/v2/"), 0u);
}

TEST_F(MirrorTest, ABlobThatAManifestNamesNeedsNoQuestion) {
  artifact("v", "layer");
  ASSERT_TRUE(resolve_there("v").value());
  const std::size_t asked = network_.requests.size();
  EXPECT_EQ(
      run(there().blobs.find_blob(op_, "up/ai/x", oci::Digest::of(as_bytes("layer")))).value(), 5u);
  EXPECT_EQ(network_.requests.size(), asked);
}

TEST_F(MirrorTest, ListsAreUpstreams) {
  const auto manifest = artifact("b", "one");
  artifact("a", "two");
  const auto signature = upstream_.add_manifest(
      "ai/x", "",
      fmt::format(
          R"({{"schemaVersion":2,"mediaType":"{}","artifactType":"application/sig","subject":{}}})",
          oci::media::kManifest, json::serialize(oci::to_json(manifest))));
  const auto page = run(there().lists.tags(op_, "up/ai/x", {.last = "", .limit = 1})).value();
  ASSERT_TRUE(page);
  EXPECT_EQ(page->names, std::vector<std::string>{"a"});
  EXPECT_TRUE(page->more);
  const auto next = run(there().lists.tags(op_, "up/ai/x", {.last = "a", .limit = 9})).value();
  EXPECT_EQ(next->names, std::vector<std::string>{"b"});
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/tags/list"), 1u);
  const auto list =
      run(there().lists.referrers(op_, "up/ai/x", manifest.digest, {.last = "", .limit = 9}));
  ASSERT_EQ(list.value().size(), 1u);
  EXPECT_EQ(list.value()[0].digest, signature.digest.string());
  EXPECT_EQ(list.value()[0].artifact_type, "application/sig");
  EXPECT_EQ(run(there().lists.tags(op_, "up/no/such", {.last = "", .limit = 9})).value(),
            std::nullopt);
  // Nobody is told that nothing refers to it because upstream is away.
  clock_ += seconds(10);
  network_.refuse_connections = 9;
  EXPECT_FALSE(
      run(there().lists.referrers(op_, "up/ai/x", manifest.digest, {.last = "", .limit = 9})));
}

TEST_F(MirrorTest, NothingIsChangedInAMirror) {
  const auto manifest = artifact("v", "one");
  ASSERT_TRUE(resolve_there("v").value());
  const std::string name = "up/ai/x";
  EXPECT_EQ(run(there().uploads.begin(op_, name)).error().code(), Code::kNotAllowed);
  EXPECT_EQ(
      run(there().manifests.put_manifest(op_, name, this->manifest({}, {"w"}))).error().code(),
      Code::kNotAllowed);
  EXPECT_EQ(
      run(there().manifests.remove_manifest(op_, name, manifest.digest, {"me"})).error().code(),
      Code::kNotAllowed);
  EXPECT_EQ(run(there().manifests.untag(op_, name, "v", {"me"})).error().code(), Code::kNotAllowed);
  EXPECT_EQ(run(there().blobs.remove_blob(op_, name, manifest.digest)).error().code(),
            Code::kNotAllowed);
  EXPECT_EQ(run(there().blobs.mount(op_, name, manifest.digest, "")).error().code(),
            Code::kNotAllowed);
  EXPECT_TRUE(run(there().uploads.begin(op_, "upper/x")));
}

TEST(Entries, AreReadWhole) {
  const auto entries = parse_entries({"docker.io", "lab=http://10.0.0.7:5000",
                                      "gh=https://ghcr.io/", "*=index.docker.io"})
                           .value();
  ASSERT_EQ(entries.all.size(), 3u);
  EXPECT_EQ(entries.all[0].prefix, "docker.io");
  EXPECT_EQ(entries.all[1].upstream, "10.0.0.7:5000");
  EXPECT_TRUE(entries.all[1].plain_http);
  EXPECT_EQ(entries.all[2].upstream, "ghcr.io");
  EXPECT_EQ(entries.fallback, "docker.io");
  EXPECT_EQ(match(entries.all, "docker.io/ai/x").name, "ai/x");
  EXPECT_EQ(match(entries.all, "docker.io").entry, nullptr);
  EXPECT_EQ(match(entries.all, "docker.iox/a").entry, nullptr);
}

TEST(Entries, AreRefused) {
  for (const char* text : {"", "=docker.io", "a=", "UP=docker.io", "a=b/c", "localhost:5000",
                           "a=x y", "../x=docker.io", "*=docker.io"})
    EXPECT_FALSE(parse_entries({text})) << text;
  EXPECT_FALSE(parse_entries({"a=docker.io", "a=ghcr.io"}));
}

TEST(Entries, TheLongestPrefixIsIt) {
  const auto entries = parse_entries({"a=docker.io", "a/b=ghcr.io"}).value();
  EXPECT_EQ(match(entries.all, "a/b/c").entry->upstream, "ghcr.io");
  EXPECT_EQ(match(entries.all, "a/c").entry->upstream, "docker.io");
}

}  // namespace
}  // namespace berth::mirror
