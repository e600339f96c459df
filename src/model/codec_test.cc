#include "model/codec.h"

#include <gtest/gtest.h>

#include "model/media.h"
#include "model/test_model.h"

namespace berth::model {
namespace {

using testing::artifact;
using testing::read;
using testing::TestLayer;

const std::string kV01(media::kDockerConfigV01);
const std::string kV02(media::kDockerConfigV02);
const std::string kPack(media::kModelPackConfig);

const std::string kDockerConfig =
    R"({"config":{"format":"gguf","quantization":"Q4_K_M","parameters":"361.82M",
"architecture":"llama","size":"270.60MB","gguf":{"general.architecture":"llama","llama.context_length":"8192"},
"context_size":4096},"descriptor":{"created":"2025-03-24T10:09:41Z"},"rootfs":{"type":"rootfs","diff_ids":[]}})";

TestLayer layer(std::string_view type, std::string path = {}, std::string bytes = {}) {
  TestLayer out{std::string(type), {}, std::move(bytes)};
  if (!path.empty()) out.annotations[std::string(annotation::kFilePath)] = std::move(path);
  return out;
}

TEST(Codec, ReadsDockerV01WithoutNames) {
  const auto model = read(artifact(kV01, kDockerConfig,
                                   {layer(media::kGguf), layer(media::kLicense),
                                    layer(media::kMmproj), layer(media::kChatTemplate)}));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->kind, Kind::kDockerV01);
  EXPECT_EQ(model->format, "gguf");
  EXPECT_EQ(model->quantization, "Q4_K_M");
  EXPECT_EQ(model->context_size, 4096U);
  EXPECT_EQ(model->context_length, 8192U);
  EXPECT_EQ(format_rfc3339(model->created.value()), "2025-03-24T10:09:41Z");
  ASSERT_EQ(model->files.size(), 4U);
  EXPECT_EQ(model->files[0].path, "model.gguf");
  EXPECT_EQ(model->files[1].path, "LICENSE");
  EXPECT_EQ(model->first(Role::kMmproj)->path, "model.mmproj");
  EXPECT_EQ(model->first(Role::kChatTemplate)->path, "template.jinja");
  EXPECT_EQ(
      json::serialize(model->api_config),
      R"({"format":"gguf","quantization":"Q4_K_M","parameters":"361.82M","architecture":"llama","size":"270.60MB",)"
      R"("gguf":{"general.architecture":"llama","llama.context_length":"8192"},"context_size":4096})");
}

TEST(Codec, NamesShardsAsDockerDoes) {
  const auto model = read(artifact(
      kV01, kDockerConfig,
      {layer(media::kGguf, "", "a"), layer(media::kGguf, "", "b"), layer(media::kLicense)}));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->files[0].path, "model-00001-of-00002.gguf");
  EXPECT_EQ(model->files[1].path, "model-00002-of-00002.gguf");
}

TEST(Codec, ReadsTheOtherSpelling) {
  const auto model = read(artifact(
      kV01, R"({"config":{"format":"gguf"},"descriptor":{"createdAt":"2025-01-01T00:00:00Z"},
    "files":[]})",
      {layer(media::kGguf), layer(media::kMmprojSpec), layer(media::kLora)}));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_NE(model->first(Role::kMmproj), nullptr);
  EXPECT_NE(model->first(Role::kLora), nullptr);
  EXPECT_TRUE(model->created);
}

TEST(Codec, ReadsDockerV02Folders) {
  const auto model = read(
      artifact(kV02, R"({"config":{"format":"safetensors","safetensors":{"tensor_count":"3",
    "context_length":"2048","odd":5}}})",
               {layer(media::kSafetensors, "text_encoder/model.safetensors", "a"),
                layer(media::kSafetensors, "model.safetensors", "b"),
                layer(media::kModelFile, "tokenizer.json"), layer(media::kModelFile, "run.py", "c"),
                layer(media::kDirTar, "assets"), layer(media::kVllmConfigTar)}));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->kind, Kind::kDockerV02);
  EXPECT_EQ(model->files[0].path, "text_encoder/model.safetensors");
  EXPECT_EQ(model->first(Role::kTokenizer)->path, "tokenizer.json");
  EXPECT_EQ(model->first(Role::kCode)->path, "run.py");
  EXPECT_EQ(model->files[4].packing, Packing::kTar);
  EXPECT_EQ(model->files[5].packing, Packing::kTar);
  EXPECT_EQ(model->context_length, 2048U);
  EXPECT_FALSE(model->api_config.at("safetensors").get_object().contains("odd"));
}

TEST(Codec, ReadsModelPackInEveryPacking) {
  const std::string config =
      R"({"descriptor":{"createdAt":"2025-01-01T00:00:00Z","family":"qwen3","name":"Qwen",
    "licenses":["Apache-2.0","MIT"]},
    "config":{"architecture":"transformer","format":"GGUF","paramSize":"8b","precision":"bf16"},
    "modelfs":{"type":"layers","diffIds":[]}})";
  const auto model = read(artifact(
      kPack, config,
      {layer("application/vnd.cncf.model.weight.v1.raw", "qwen.gguf", "a"),
       layer("application/vnd.cncf.model.weight.v1.tar", "more.gguf", "b"),
       layer("application/vnd.cncf.model.weight.config.v1.tar+gzip", "config", "c"),
       layer("application/vnd.cncf.model.doc.v1.tar+zstd", "docs", "d"),
       layer("application/vnd.cncf.model.doc.v1.raw", "LICENSE", "e"),
       layer("application/vnd.cncf.model.code.v1.raw", "run.py", "f"),
       layer("application/vnd.cncf.model.dataset.v1.tar", "data", "g"),
       layer("application/vnd.cncf.model.weight.v1.raw", "mmproj-F16.gguf", "h"),
       layer("application/vnd.cncf.model.weight.v1.gguf", "old.gguf", "i")},
      {{"dev.berth.model.context-size", "1024"}, {"dev.berth.model.context-length", "40960"}},
      std::string(media::kModelPackManifest)));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->kind, Kind::kModelPack);
  EXPECT_EQ(model->format, "gguf");
  EXPECT_EQ(model->parameters, "8B") << "as everywhere else";
  EXPECT_EQ(model->quantization, "bf16");
  EXPECT_EQ(model->licenses, (std::vector<std::string>{"Apache-2.0", "MIT"}));
  EXPECT_EQ(model->context_size, 1024U);
  EXPECT_EQ(model->context_length, 40960U);
  EXPECT_EQ(model->files[1].packing, Packing::kTar);
  EXPECT_EQ(model->files[2].packing, Packing::kTarGzip);
  EXPECT_EQ(model->files[3].packing, Packing::kTarZstd);
  EXPECT_EQ(model->files[4].role, Role::kLicense);
  EXPECT_EQ(model->files[5].role, Role::kCode);
  EXPECT_EQ(model->files[6].role, Role::kDataset);
  EXPECT_EQ(model->files[7].role, Role::kMmproj);
  EXPECT_EQ(model->files[8].role, Role::kWeights);
}

TEST(Codec, ReadsTheOldCnaiNames) {
  TestLayer weights{
      "application/vnd.cnai.model.weight.v1.tar", {{"org.cnai.model.filepath", "m.gguf"}}, "a"};
  const auto model = read(artifact(media::kCnaiConfig, R"({"config":{}})", {weights}));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->format, "gguf");
  EXPECT_EQ(model->files[0].packing, Packing::kTar);
  EXPECT_EQ(model->files[0].path, "m.gguf");
}

TEST(Codec, ReadsDockerSchema2Manifests) {
  const auto model = read(
      artifact(kV01, kDockerConfig, {layer(media::kGguf)}, {}, "", oci::media::kDockerManifest));
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->files.size(), 1U);
}

TEST(Codec, TheFilePathCountsAndNotTheTitle) {
  TestLayer weights = layer(media::kGguf, "real.gguf");
  weights.annotations["org.opencontainers.image.title"] = "../title.gguf";
  const auto model = read(artifact(kV01, kDockerConfig, {weights}));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->files[0].path, "real.gguf");
  weights.annotations.erase(std::string(annotation::kFilePath));
  EXPECT_FALSE(read(artifact(kV01, kDockerConfig, {weights})));
}

TEST(Codec, TheSameFileTwiceIsOne) {
  const auto model =
      read(artifact(kV01, kDockerConfig,
                    {layer(media::kGguf, "m.gguf", "x"), layer(media::kGguf, "m.gguf", "x")}));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->files.size(), 1U);
}

class UnsafePath : public ::testing::TestWithParam<const char*> {};
TEST_P(UnsafePath, IsRefused) {
  for (const std::string& type : {std::string(media::kGguf), std::string(media::kDirTar)}) {
    const auto model = read(artifact(kV02, kDockerConfig, {layer(type, GetParam())}));
    ASSERT_FALSE(model) << GetParam();
    EXPECT_EQ(model.error().code(), Code::kInvalid);
  }
}
INSTANTIATE_TEST_SUITE_P(Names, UnsafePath,
                         ::testing::Values("../up.gguf", "/etc/passwd", "a/../../b", "a//b",
                                           "a/./b", "..", "a\\b", "new\nline", "a/"));

TEST(Codec, RefusesTwoFilesOfOneName) {
  const auto model =
      read(artifact(kV01, kDockerConfig,
                    {layer(media::kGguf, "m.gguf", "x"), layer(media::kLicense, "m.gguf", "y")}));
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message().find("two files named m.gguf"), std::string::npos);
}

TEST(Codec, RefusesAFileWhereAFolderIsNeeded) {
  const auto model =
      read(artifact(kV02, kDockerConfig,
                    {layer(media::kModelFile, "a/b", "x"), layer(media::kModelFile, "a", "y")}));
  EXPECT_FALSE(model);
}

TEST(Codec, RefusesAConfigThatIsNotTheManifests) {
  auto other = artifact(kV01, kDockerConfig, {layer(media::kGguf)});
  other.config += " ";
  EXPECT_EQ(read(other).error().code(), Code::kDigestMismatch);
}

TEST(Codec, RefusesConfigsOfWrongShape) {
  for (const char* config : {"", "[", "[]", "5", R"({"config":5})", R"({"config":{"format":5}})",
                             R"({"config":{"gguf":[]}})", R"({"config":{"context_size":"4"}})",
                             R"({"config":{"context_size":3000000000}})", R"({"descriptor":[]})"}) {
    EXPECT_FALSE(read(artifact(kV01, config, {layer(media::kGguf)}))) << config;
  }
  for (const char* config : {"[]", R"({"config":[]})", R"({"config":{"paramSize":8}})"}) {
    EXPECT_FALSE(read(artifact(kPack, config, {layer(media::kModelPackWeight, "m.gguf")})))
        << config;
  }
}

TEST(Codec, RefusesSizesThatOverflow) {
  oci::Manifest manifest{.media_type = std::string(oci::media::kManifest),
                         .config = oci::describe("{}", kV01)};
  for (const char* name : {"a", "b"}) {
    oci::Descriptor big = oci::describe(name, media::kGguf);
    big.size = 1ULL << 63;
    manifest.layers.push_back(big);
  }
  const auto model = read_model(oci::serialize(manifest), oci::media::kManifest, "{}");
  EXPECT_FALSE(model);
}

struct NotAModel {
  const char* config;
  const char* artifact_type;
  const char* layer;
  const char* says;
};
class OtherKinds : public ::testing::TestWithParam<NotAModel> {};
TEST_P(OtherKinds, AreNamedAndRefused) {
  const NotAModel& kind = GetParam();
  const auto model =
      read(artifact(kind.config, "{}", {layer(kind.layer, "x")}, {}, kind.artifact_type));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code(), Code::kUnsupported);
  EXPECT_NE(model.error().message().find(kind.says), std::string::npos) << model.error().message();
}
INSTANTIATE_TEST_SUITE_P(
    Kinds, OtherKinds,
    ::testing::Values(
        NotAModel{"application/vnd.oci.image.config.v1+json", "",
                  "application/vnd.oci.image.layer.v1.tar+gzip", "a container image"},
        NotAModel{"application/vnd.docker.container.image.v1+json", "",
                  "application/vnd.docker.image.rootfs.diff.tar.gzip", "a container image"},
        NotAModel{"application/vnd.docker.container.image.v1+json", "",
                  "application/vnd.ollama.image.model", "an Ollama model"},
        NotAModel{"application/vnd.kitops.modelkit.config.v1+json", "",
                  "application/vnd.kitops.modelkit.model.v1.tar", "a KitOps ModelKit"},
        NotAModel{"application/vnd.cncf.helm.config.v1+json", "",
                  "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "a Helm chart"},
        NotAModel{"application/vnd.oci.image.config.v1+json", "",
                  "application/vnd.dev.cosign.simplesigning.v1+json", "a cosign signature"},
        NotAModel{"application/vnd.oci.empty.v1+json",
                  "application/vnd.dev.sigstore.bundle.v0.3+json",
                  "application/vnd.dev.sigstore.bundle.v0.3+json", "a Sigstore bundle"},
        NotAModel{"application/vnd.oci.empty.v1+json", "application/vnd.acme.rocket", "text/plain",
                  "an artifact of type application/vnd.acme.rocket"},
        NotAModel{"application/x-odd", "", "text/plain", "config type application/x-odd"}));

oci::Descriptor entry(std::string_view name, std::optional<oci::Platform> platform,
                      std::string artifact_type = {}) {
  oci::Descriptor out = oci::describe(name, oci::media::kManifest);
  out.platform = std::move(platform);
  out.artifact_type = std::move(artifact_type);
  return out;
}

TEST(PickManifest, TakesTheOnlyOneThenThePlatformThenTheModel) {
  const oci::Platform host{"linux", "amd64", ""};
  const auto arm = entry("arm", oci::Platform{"linux", "arm64", "v8"});
  const auto amd = entry("amd", oci::Platform{"linux", "amd64", ""});
  const auto attestation = entry("att", oci::Platform{"unknown", "unknown", ""});
  const auto image = entry("img", std::nullopt, "application/vnd.acme");
  const auto model = entry("mod", std::nullopt, std::string(media::kModelPackManifest));
  oci::Index index;
  index.manifests = {arm, attestation};
  EXPECT_EQ(pick_manifest(index, host)->digest, arm.digest);
  index.manifests = {arm, amd};
  EXPECT_EQ(pick_manifest(index, host)->digest, amd.digest);
  index.manifests = {image, model};
  EXPECT_EQ(pick_manifest(index, host)->digest, model.digest);
  index.manifests = {arm, image};
  const auto none = pick_manifest(index, host);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message().find("linux/arm64"), std::string::npos);
  index.manifests = {};
  EXPECT_EQ(pick_manifest(index, host).error().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace berth::model
