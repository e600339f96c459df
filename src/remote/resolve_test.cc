// Manifests: resolving, reading, tagging, listing, deleting.
#include "oci/media_types.h"
#include "remote/remote_fixture.h"

namespace berth::remote {
namespace {

TEST_F(RemoteTest, ResolvesATagByHeadAlone) {
  const auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  const auto found = resolve(tag("latest")).value();
  EXPECT_EQ(found.digest, manifest.digest);
  EXPECT_EQ(found.size, manifest.size);
  EXPECT_EQ(found.media_type, oci::media::kManifest);
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/manifests/"), 0u);
  EXPECT_TRUE(network_.requests[0].headers.get("Accept")->contains(oci::media::kIndex));
  EXPECT_TRUE(network_.requests[0].headers.get("Accept")->contains(oci::media::kDockerManifest));
}

TEST_F(RemoteTest, WhatTheRegistryWarnsOfIsToldOnce) {
  const auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  registry_.script.push_back({.method = "HEAD",
                              .path_prefix = "/v2/ai/x/manifests/",
                              .status = 200,
                              .headers = {{"Content-Type", std::string(oci::media::kManifest)},
                                          {"Content-Length", std::to_string(manifest.size)},
                                          {"Docker-Content-Digest", manifest.digest.string()},
                                          {"Warning", "299 - \"old\x1b[31m news\""}},
                              .times = 2});
  std::vector<std::string> told;
  repo().set_manner({.on_warning = [&](const std::string& text) { told.push_back(text); }});
  EXPECT_EQ(resolve(tag("latest")).value().digest, manifest.digest);
  EXPECT_EQ(resolve(tag("latest")).value().digest, manifest.digest);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(told[0].starts_with("localhost:5000 warns: old")) << told[0];
  EXPECT_FALSE(told[0].contains('\x1b'));
}

TEST_F(RemoteTest, WithoutDigestHeaderItComputesOneAndKeepsTheBytes) {
  registry_.digest_header = false;
  const std::string bytes = make_manifest("ai/x");
  const auto manifest = registry_.add_manifest("ai/x", "latest", bytes);
  EXPECT_EQ(resolve(tag("latest")).value().digest, manifest.digest);
  EXPECT_EQ(fetch(manifest).value(), bytes);
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/manifests/"), 1u) << "the bytes were at hand";
}

TEST_F(RemoteTest, WithoutHeadItGets) {
  registry_.head_manifests = false;
  const auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  EXPECT_EQ(resolve(tag("latest")).value().digest, manifest.digest);
}

TEST_F(RemoteTest, AGeneralContentTypeLeavesItToTheBody) {
  registry_.manifest_type_lie = "application/json; charset=utf-8";
  const auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  EXPECT_EQ(resolve(tag("latest")).value().media_type, oci::media::kManifest);
}

TEST_F(RemoteTest, AbsentNamesTheReference) {
  const auto absent = resolve(tag("nope"));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Code::kNotFound);
  EXPECT_TRUE(absent.error().message().contains("localhost:5000/ai/x:nope"))
      << absent.error().message();
}

TEST_F(RemoteTest, ResolvesADigestAndRefusesAnother) {
  const auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  EXPECT_EQ(resolve(at(manifest.digest)).value().digest, manifest.digest);
  registry_.digest_lie = oci::Digest::of(as_bytes("other")).string();
  EXPECT_EQ(resolve(at(manifest.digest)).error().code(), Code::kDigestMismatch);
}

TEST_F(RemoteTest, ADigestThatLiesIsFoundOutWhenTheBytesCome) {
  registry_.digest_lie = oci::Digest::of(as_bytes("other")).string();
  registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  registry_.head_manifests = false;
  EXPECT_EQ(resolve(tag("latest")).error().code(), Code::kDigestMismatch);
}

TEST_F(RemoteTest, ManifestBytesMustBeTheirDigest) {
  auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  registry_.repos["ai/x"].manifests[manifest.digest.string()].bytes += " ";
  ++manifest.size;
  const auto failed = fetch(manifest);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kDigestMismatch);
}

TEST_F(RemoteTest, HeaderAndBodyMustAgreeOnTheType) {
  const auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  registry_.manifest_type_lie = oci::media::kIndex;
  EXPECT_EQ(fetch(manifest).error().code(), Code::kCorrupt);
}

TEST_F(RemoteTest, AnotherTypeThanTheDescriptorsIsRefused) {
  auto manifest = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x"));
  manifest.media_type = oci::media::kIndex;
  EXPECT_EQ(fetch(manifest).error().code(), Code::kCorrupt);
}

TEST_F(RemoteTest, OversizeManifestsAreRefused) {
  const auto manifest =
      registry_.add_manifest("ai/x", "latest", std::string(oci::kManifestBytes + 1, ' '));
  EXPECT_EQ(resolve(tag("latest")).error().code(), Code::kTooLarge);
  EXPECT_EQ(fetch(manifest).error().code(), Code::kTooLarge);
}

TEST_F(RemoteTest, AWebPageIsNoManifest) {
  registry_.add_manifest("ai/x", "latest", "<html>", "text/html");
  EXPECT_FALSE(resolve(tag("latest")));
  registry_.add_manifest("ai/x", "old", R"({"schemaVersion":1,"name":"x"})",
                         "application/vnd.docker.distribution.manifest.v1+prettyjws");
  EXPECT_EQ(resolve(tag("old")).error().code(), Code::kUnsupported);
}

TEST_F(RemoteTest, ATagThatIsNoneNeverBecomesAUrl) {
  EXPECT_EQ(resolve(tag("../../../x")).error().code(), Code::kInvalid);
  EXPECT_TRUE(network_.requests.empty());
  EXPECT_FALSE(open().repository("../x"));
  EXPECT_FALSE(open().repository("Ai/x?y"));
  for (const char* host : {"", "a/b", "user@host", "host?x", "ho st"})
    EXPECT_FALSE(Registry::open(loop_, host, options_)) << host;
}

TEST_F(RemoteTest, TagsAManifestThatIsThere) {
  const auto manifest = registry_.add_manifest("ai/x", "", make_manifest("ai/x"));
  ASSERT_TRUE(loop_.run(repo().tag(op_, manifest, tag("v1"))));
  EXPECT_EQ(registry_.repos["ai/x"].tags["v1"], manifest.digest.string());
}

TEST_F(RemoteTest, TagsWhatWasJustPutWithoutReadingItBack) {
  const std::string bytes = make_manifest("ai/x");
  ASSERT_TRUE(put(bytes, oci::media::kManifest));
  ASSERT_TRUE(loop_.run(repo().tag(op_, oci::describe(bytes, oci::media::kManifest), tag("v1"))));
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/manifests/"), 0u);
  EXPECT_EQ(registry_.repos["ai/x"].manifests.begin()->second.bytes, bytes);
}

TEST_F(RemoteTest, AManifestStoredAsAnotherIsReported) {
  const std::string bytes = make_manifest("ai/x");
  registry_.digest_lie = oci::Digest::of(as_bytes("other")).string();
  EXPECT_EQ(put(bytes, oci::media::kManifest).error().code(), Code::kDigestMismatch);
}

TEST_F(RemoteTest, ManifestWithoutItsBlobsIsRefusedWithTheRegistrysWords) {
  const std::string bytes = make_manifest("other");
  const Status refused = put(bytes, oci::media::kManifest);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().contains("MANIFEST_BLOB_UNKNOWN"))
      << refused.error().message();
}

TEST_F(RemoteTest, ListsTagsOverPages) {
  registry_.page_size = 2;
  for (const char* name : {"a", "b", "c", "d", "e"}) registry_.add_manifest("ai/x", name, "{}");
  EXPECT_EQ(loop_.run(repo().list_tags(op_)).value(),
            (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(network_.count("GET", "/v2/ai/x/tags/list"), 3u);
}

TEST_F(RemoteTest, ListOfNoRepositoryIsNotFound) {
  EXPECT_EQ(loop_.run(repo().list_tags(op_)).error().code(), Code::kNotFound);
}

TEST_F(RemoteTest, HostileTagListsAreHeldBack) {
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/tags",
                              .status = 200,
                              .body = "{\"tags\":[\"ok\",\"../x\",\"\\u001b[2J\"]}"});
  EXPECT_EQ(loop_.run(repo().list_tags(op_)).value(), std::vector<std::string>{"ok"});
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/tags",
                              .status = 200,
                              .headers = {{"Link", "<http://elsewhere.example/next>; rel=next"}},
                              .body = "{}"});
  EXPECT_EQ(loop_.run(repo().list_tags(op_)).error().code(), Code::kDenied);
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/tags",
                              .status = 200,
                              .headers = {{"Link", "</v2/ai/x/tags/list>; rel=next"}},
                              .body = "{}",
                              .times = 5000});
  EXPECT_EQ(loop_.run(repo().list_tags(op_)).error().code(), Code::kTooLarge);
}

TEST_F(RemoteTest, DeletesTagsAndManifestsAndBlobs) {
  const auto manifest = registry_.add_manifest("ai/x", "a", make_manifest("ai/x"));
  registry_.repos["ai/x"].tags["b"] = manifest.digest.string();
  ASSERT_TRUE(loop_.run(repo().delete_manifest(op_, "a")));
  EXPECT_EQ(registry_.repos["ai/x"].tags.size(), 1u);
  ASSERT_TRUE(loop_.run(repo().delete_manifest(op_, manifest.digest.string())));
  EXPECT_TRUE(registry_.repos["ai/x"].tags.empty());
  EXPECT_EQ(loop_.run(repo().delete_manifest(op_, "a")).error().code(), Code::kNotFound);
  EXPECT_EQ(loop_.run(repo().delete_manifest(op_, "../x")).error().code(), Code::kInvalid);
  const auto blob = registry_.add_blob("ai/x", "blob");
  ASSERT_TRUE(loop_.run(repo().delete_blob(op_, blob.digest)));
  registry_.script.push_back({.method = "DELETE",
                              .path_prefix = "/v2/ai/x/manifests/a",
                              .status = 400,
                              .body = R"({"errors":[{"code":"DIGEST_INVALID","message":"x"}]})"});
  EXPECT_EQ(loop_.run(repo().delete_manifest(op_, "a")).error().code(), Code::kNotAllowed)
      << "docker-registry 2";
  registry_.allow_delete = false;
  registry_.add_manifest("ai/x", "a", "{}");
  EXPECT_EQ(loop_.run(repo().delete_manifest(op_, "a")).error().code(), Code::kNotAllowed);
}

TEST_F(RemoteTest, HasAsksForTheRightKind) {
  const auto manifest = registry_.add_manifest("ai/x", "", make_manifest("ai/x"));
  const auto blob = registry_.add_blob("ai/x", "blob");
  EXPECT_TRUE(loop_.run(repo().has(op_, manifest)).value());
  EXPECT_TRUE(loop_.run(repo().has(op_, blob)).value());
  EXPECT_FALSE(loop_.run(repo().has(op_, oci::describe("x", "y"))).value());
}

TEST_F(RemoteTest, ErrorsOfTheRegistryAreShownButTamed) {
  registry_.script.push_back(
      {.method = "HEAD", .path_prefix = "/v2/ai/x/manifests", .status = 405});
  registry_.script.push_back(
      {.method = "GET",
       .path_prefix = "/v2/ai/x/manifests",
       .status = 403,
       .body = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"pay first\\u001b[31m" +
               std::string(5000, 'x') + "\"}]}"});
  const auto denied = resolve(tag("a"));
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code(), Code::kDenied);
  EXPECT_TRUE(denied.error().message().contains("DENIED: pay first"));
  EXPECT_TRUE(denied.error().message().contains("berth login localhost:5000"));
  EXPECT_FALSE(denied.error().message().contains('\033'));
  EXPECT_LT(denied.error().message().size(), 700u);
}

TEST_F(RemoteTest, DockerHubIsElsewhereAndItsMirrorsAreAskedFirst) {
  FakeRegistry hub;
  FakeRegistry mirror;
  network_.host("https://registry-1.docker.io", hub);
  network_.host("https://mirror.example", mirror);
  options_.mirrors = {"https://mirror.example"};
  const auto manifest = hub.add_manifest("ai/x", "latest", "{\"config\":{},\"layers\":[]}");
  EXPECT_EQ(loop_.run(repo("docker.io").resolve(op_, tag("latest"))).value().digest,
            manifest.digest);
  ASSERT_EQ(network_.requests.size(), 2u);
  EXPECT_EQ(network_.requests[0].url_text(),
            "https://mirror.example/v2/ai/x/manifests/latest?ns=docker.io");
  EXPECT_EQ(network_.requests[1].url_text(),
            "https://registry-1.docker.io/v2/ai/x/manifests/latest");
  const auto there = mirror.add_manifest("ai/x", "latest", "{\"config\":{},\"layers\":[1]}");
  EXPECT_EQ(loop_.run(repo().resolve(op_, tag("latest"))).value().digest, there.digest);
}

TEST_F(RemoteTest, AMirrorMayHaveAPathAndMayBeDown) {
  FakeRegistry hub;
  network_.host("https://registry-1.docker.io", hub);
  const auto manifest = hub.add_manifest("ai/x", "latest", "{\"config\":{},\"layers\":[]}");
  options_.mirrors = {"https://down.example/artifactory/api/docker/hub/"};
  EXPECT_EQ(loop_.run(repo("docker.io").resolve(op_, tag("latest"))).value().digest,
            manifest.digest);
  EXPECT_TRUE(slept_.empty()) << "a mirror that is down is not waited for";
  options_.mirrors = {"not a url"};
  EXPECT_FALSE(Registry::open(loop_, "docker.io", options_));
  EXPECT_TRUE(Registry::open(loop_, "ghcr.io", options_)) << "mirrors are Docker Hub's only";
}

}  // namespace
}  // namespace berth::remote
