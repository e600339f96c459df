#include <gtest/gtest.h>

#include "oci/manifest.h"
#include "oci/media_types.h"
#include "oci/reference.h"

namespace berth::oci {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

TEST(Digest, AcceptsOnlyWholeDigests) {
  EXPECT_EQ(Digest::parse(kDigest)->path(), "sha256/" + kHex);
  EXPECT_TRUE(Digest::parse("sha512:" + std::string(128, '0')));
  for (const std::string& bad :
       {std::string(), std::string("sha256"), "sha256:" + kHex + "\n", "sha256-" + kHex,
        "SHA256:" + kHex, "sha256:" + std::string(64, 'A'), "sha256:" + std::string(63, 'a'),
        "md5:" + std::string(32, 'a'), std::string("sha256:../../etc/passwd")}) {
    EXPECT_FALSE(Digest::parse(bad)) << bad;
  }
}

TEST(Digest, OfTheEmptyObject) {
  EXPECT_EQ(Digest::of(as_bytes("{}")).string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

struct Spelling {
  const char* given;
  const char* full;
};

class Spellings : public testing::TestWithParam<Spelling> {};
TEST_P(Spellings, AreExpandedAsDockerModelRunnerDoes) {
  const auto reference = parse_reference(GetParam().given);
  ASSERT_TRUE(reference) << reference.error().message();
  EXPECT_EQ(reference->string(), GetParam().full);
}
INSTANTIATE_TEST_SUITE_P(
    Facts, Spellings,
    testing::Values(Spelling{"smollm2", "docker.io/ai/smollm2:latest"},
                    Spelling{"smollm2:135M-Q4_1", "docker.io/ai/smollm2:135M-Q4_1"},
                    Spelling{"ai/smollm2", "docker.io/ai/smollm2:latest"},
                    Spelling{"ai/llama3.2:1B-Q8_0", "docker.io/ai/llama3.2:1B-Q8_0"},
                    Spelling{"Org/Name:Tag", "docker.io/org/name:Tag"},
                    Spelling{"ghcr.io/org/name", "ghcr.io/org/name:latest"},
                    Spelling{"localhost:5000/ai/x:1", "localhost:5000/ai/x:1"},
                    Spelling{"localhost/x", "localhost/x:latest"},
                    Spelling{"127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"},
                    Spelling{"[::1]:5000/x", "[::1]:5000/x:latest"},
                    Spelling{"hf.co/bartowski/Llama:Q4_K_M",
                             "huggingface.co/bartowski/llama:Q4_K_M"},
                    Spelling{"  index.docker.io/ai/x ", "docker.io/ai/x:latest"}));

TEST(Reference, DigestForms) {
  EXPECT_EQ(parse_reference("smollm2@" + kDigest)->string(), "docker.io/ai/smollm2@" + kDigest);
  EXPECT_EQ(parse_reference("ghcr.io/org/x@" + kDigest)->manifest_reference(), kDigest);
  const auto both = parse_reference("x:v1@" + kDigest);
  EXPECT_EQ(both->tag, "v1");
  EXPECT_EQ(both->manifest_reference(), kDigest);
}

TEST(Reference, RefusesWhatIsNoName) {
  for (const char* bad : {"",         "  ",    ":tag",           "a//b",        "a/../b",
                          "../x",     "x:",    "x:a b",          "x@sha256:12", "x@",
                          "-x",       "a/-b",  "ex ample.com/x", "a.b:99999/x", "a\nb",
                          "x:tag\n@", "a___b", "host.com:/x",    "/x",          "x/"}) {
    EXPECT_FALSE(parse_reference(bad)) << bad;
  }
  EXPECT_FALSE(parse_reference(std::string(300, 'a')));
  EXPECT_FALSE(parse_reference("x:" + std::string(129, 'a')));
}

TEST(Reference, DefaultsCanBeMoved) {
  const ReferenceDefaults defaults{.registry = "registry.example.com"};
  EXPECT_EQ(parse_reference("x", defaults)->string(), "registry.example.com/ai/x:latest");
  EXPECT_EQ(parse_reference("localhost/x", defaults)->string(), "localhost/x:latest");
  EXPECT_EQ(parse_reference("x", defaults)->familiar(defaults), "x");
}

TEST(Reference, FamiliarHidesTheDefaults) {
  EXPECT_EQ(parse_reference("ai/smollm2:latest")->familiar(), "smollm2");
  EXPECT_EQ(parse_reference("ai/smollm2:q4")->familiar(), "smollm2:q4");
  EXPECT_EQ(parse_reference("org/x")->familiar(), "org/x");
  EXPECT_EQ(parse_reference("localhost:5000/ai/x:1")->familiar(), "localhost:5000/ai/x:1");
}

TEST(ModelName, IdsComeFirst) {
  EXPECT_EQ(parse_model_name(kDigest)->id->hex, kHex);
  EXPECT_EQ(parse_model_name(kHex)->id->hex, kHex);
  const auto both = parse_model_name("0123456789ab");
  EXPECT_TRUE(both->id && both->reference);
  EXPECT_FALSE(parse_model_name("smollm2")->id);
  EXPECT_FALSE(parse_model_name("a b"));
}

TEST(PlainHttp, OnlyThisMachineAndDotLocal) {
  for (const char* host : {"localhost", "localhost:5000", "127.0.0.1:5000", "127.8.8.8",
                           "[::1]:5000", "nas.local:80"}) {
    EXPECT_TRUE(is_plain_http_host(host)) << host;
  }
  for (const char* host :
       {"docker.io", "127.0.0.1.evil.com", "localhost.evil.com", "10.0.0.1:5000", "[::2]"}) {
    EXPECT_FALSE(is_plain_http_host(host)) << host;
  }
}

std::string manifest_with(const std::string& extra) {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"c","digest":")" +
         kDigest + R"(","size":2},"layers":[)" + extra + "]}";
}

TEST(Manifest, RoundTripKeepsBytes) {
  const std::string bytes = manifest_with(R"({"mediaType":"l","digest":")" + kDigest +
                                          R"(","size":3,"annotations":{"a":"b"}})");
  const auto manifest = parse_manifest(bytes, media::kManifest);
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(serialize(*manifest), bytes);
  EXPECT_EQ(children(bytes, media::kManifest)->size(), 2u);
}

TEST(Manifest, RefusesLies) {
  EXPECT_FALSE(parse_manifest(manifest_with(""), media::kDockerManifest))
      << "announced as another type";
  EXPECT_FALSE(parse_manifest(R"({"schemaVersion":1})", media::kManifest));
  EXPECT_FALSE(parse_manifest(manifest_with(R"({"mediaType":"l","digest":"sha256:../x","size":3})"),
                              media::kManifest));
  EXPECT_FALSE(
      parse_manifest(manifest_with(R"({"mediaType":"l","digest":")" + kDigest + R"(","size":-3})"),
                     media::kManifest));
  EXPECT_FALSE(parse_manifest(manifest_with(R"({"mediaType":"l","digest":")" + kDigest +
                                            R"(","size":9223372036854775807})"),
                              media::kManifest));
  EXPECT_EQ(
      parse_manifest(std::string(kMaxManifestBytes + 1, ' '), media::kManifest).error().code(),
      Code::kTooLarge);
}

TEST(Index, KeepsPlatforms) {
  const std::string bytes =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" +
      kDigest + R"(","size":9,"platform":{"architecture":"amd64","os":"linux"}}]})";
  const auto index = parse_index(bytes, media::kIndex);
  ASSERT_TRUE(index) << index.error().message();
  EXPECT_EQ(index->manifests[0].platform->architecture, "amd64");
  EXPECT_EQ(serialize(*index), bytes);
}

TEST(Platforms, AreReadFromTheirWords) {
  EXPECT_EQ(parse_platform("linux/amd64").value(), (Platform{"linux", "amd64", ""}));
  EXPECT_EQ(parse_platform("linux/arm/v7").value(), (Platform{"linux", "arm", "v7"}));
  for (const char* text : {"", "linux", "linux/", "/amd64", "linux/arm/v7/x", "Linux/amd64",
                           "linux/am d64", "linux/amd64\n"}) {
    EXPECT_EQ(parse_platform(text).error().code(), Code::kInvalid) << text;
  }
}

TEST(Platforms, OneOfAnIndexIsPicked) {
  Index index;
  for (const Platform& platform : {Platform{"linux", "arm", "v6"}, Platform{"linux", "arm", "v7"},
                                   Platform{"linux", "amd64", ""}}) {
    Descriptor entry = describe(platform.architecture + platform.variant, media::kManifest);
    entry.platform = platform;
    index.manifests.push_back(entry);
  }
  index.manifests.push_back(describe("without", media::kManifest));
  EXPECT_EQ(pick_platform(index, {"linux", "arm", "v7"})->digest, index.manifests[1].digest);
  EXPECT_EQ(pick_platform(index, {"linux", "arm", ""})->digest, index.manifests[0].digest);
  const auto none = pick_platform(index, {"linux", "s390x", ""});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  EXPECT_NE(none.error().message().find("linux/arm/v7"), std::string::npos);
}

}  // namespace
}  // namespace berth::oci
