// What refers to a manifest: the API, the fallback tag, and keeping the tag up.
#include "oci/media_types.h"
#include "remote/remote_fixture.h"

namespace berth::remote {
namespace {

class ReferrersTest : public RemoteTest {
 protected:
  ReferrersTest() { subject_ = registry_.add_manifest("ai/x", "latest", make_manifest("ai/x")); }

  // Pushes a manifest that refers to the subject.
  oci::Descriptor push_referrer(const std::string& type, const std::string& note) {
    const std::string bytes = make_manifest(
        "ai/x", "layer",
        fmt::format(R"("artifactType":"{}","annotations":{{"note":"{}"}},"subject":{},)", type,
                    note, json::serialize(oci::to_json(subject_))));
    EXPECT_TRUE(put(bytes, oci::media::kManifest));
    return oci::describe(bytes, oci::media::kManifest);
  }
  Result<std::vector<oci::Descriptor>> referrers(std::string type = "") {
    return loop_.run(repo().referrers(op_, subject_.digest, std::move(type)));
  }
  std::string fallback_tag() const { return "sha256-" + std::string(subject_.digest.hex()); }
  oci::Descriptor subject_;
};

TEST_F(ReferrersTest, NoneIsAnEmptyList) {
  EXPECT_TRUE(referrers().value().empty());
  registry_.referrers_api = false;
  EXPECT_TRUE(referrers().value().empty());
}

TEST_F(ReferrersTest, ByTheApiOverPages) {
  registry_.page_size = 2;
  for (int i = 0; i < 5; ++i) push_referrer("application/sig", std::to_string(i));
  EXPECT_EQ(referrers().value().size(), 5u);
  EXPECT_FALSE(registry_.repos["ai/x"].tags.contains(fallback_tag()));
}

TEST_F(ReferrersTest, AFilterThatTheServerIgnoresIsAppliedHere) {
  const auto wanted = push_referrer("application/sig", "a");
  push_referrer("application/sbom", "b");
  const auto found = referrers("application/sig").value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].digest, wanted.digest);
}

TEST_F(ReferrersTest, WithoutTheApiTheTagIsKeptUp) {
  registry_.referrers_api = false;
  const auto first = push_referrer("application/sig", "a");
  const auto second = push_referrer("application/sbom", "b");
  push_referrer("application/sbom", "b");
  const auto found = referrers().value();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].digest, first.digest);
  EXPECT_EQ(found[1].digest, second.digest);
  EXPECT_EQ(found[1].artifact_type, "application/sbom");
  EXPECT_EQ(found[1].annotation("note"), "b");
  EXPECT_EQ(referrers("application/sig").value().size(), 1u);
}

TEST_F(ReferrersTest, OthersEntriesInTheTagStayAsTheyAre) {
  registry_.referrers_api = false;
  const std::string theirs = fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{}","x-odd":[1],"manifests":[{{"mediaType":"{}","digest":"{}","size":3,"x-more":true}}]}})",
      oci::media::kIndex, oci::media::kManifest, oci::Digest::of(as_bytes("abc")).string());
  registry_.add_manifest("ai/x", fallback_tag(), theirs, oci::media::kIndex);
  registry_.repos["ai/x"].manifests[oci::Digest::of(as_bytes("abc")).string()] = {
      std::string(oci::media::kManifest), "{}"};
  push_referrer("application/sig", "a");
  const std::string after =
      registry_.repos["ai/x"].manifests[registry_.repos["ai/x"].tags[fallback_tag()]].bytes;
  EXPECT_TRUE(after.contains("\"x-odd\":[1]")) << after;
  EXPECT_TRUE(after.contains("\"x-more\":true")) << after;
  EXPECT_EQ(referrers().value().size(), 2u);
}

TEST_F(ReferrersTest, ATagThatHoldsSomethingElseIsLeftAlone) {
  registry_.referrers_api = false;
  registry_.add_manifest("ai/x", fallback_tag(), "{\"manifests\":5}", oci::media::kIndex);
  const std::string bytes = make_manifest(
      "ai/x", "layer", "\"subject\":" + json::serialize(oci::to_json(subject_)) + ",");
  EXPECT_EQ(put(bytes, oci::media::kManifest).error().code(), Code::kCorrupt);
}

TEST_F(ReferrersTest, AManifestWithoutSubjectTouchesNoTag) {
  registry_.referrers_api = false;
  ASSERT_TRUE(put(make_manifest("ai/x", "other"), oci::media::kManifest));
  EXPECT_EQ(registry_.repos["ai/x"].tags.size(), 1u);
}

TEST_F(ReferrersTest, AWebPageIsNotTheApi) {
  registry_.referrers_api = false;
  push_referrer("application/sig", "a");
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/referrers",
                              .status = 200,
                              .headers = {{"Content-Type", "text/html"}},
                              .body = "<html>"});
  EXPECT_EQ(referrers().value().size(), 1u);
}

TEST_F(ReferrersTest, HostileListsAreHeldBack) {
  const http::Headers forever = {{"Content-Type", std::string(oci::media::kIndex)},
                                 {"Link", "</v2/ai/x/referrers/x>; rel=next"}};
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/referrers",
                              .status = 200,
                              .headers = forever,
                              .body = R"({"schemaVersion":2,"manifests":[]})",
                              .times = 5000});
  EXPECT_EQ(referrers().error().code(), Code::kTooLarge);
  registry_.script.clear();
  const http::Headers elsewhere = {{"Content-Type", std::string(oci::media::kIndex)},
                                   {"Link", "<http://thief.example/>; rel=next"}};
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/referrers",
                              .status = 200,
                              .headers = elsewhere,
                              .body = R"({"schemaVersion":2,"manifests":[]})"});
  EXPECT_EQ(referrers().error().code(), Code::kDenied);
}

TEST_F(ReferrersTest, DeniedIsNotTakenForAbsent) {
  registry_.script.push_back({.method = "GET", .path_prefix = "/v2/ai/x/referrers", .status = 403});
  EXPECT_EQ(referrers().error().code(), Code::kDenied);
}

}  // namespace
}  // namespace berth::remote
