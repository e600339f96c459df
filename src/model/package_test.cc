#include "model/package.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "model/media.h"
#include "model/test_model.h"

namespace berth::model {
namespace {

using formats::testing::tiny_llama;
using formats::testing::tiny_safetensors;
using formats::testing::tiny_shard;
using testing::expect_golden;
using testing::Folder;
using testing::make_package;
using testing::read_back;

PackageRequest everything(const Folder& folder) {
  PackageRequest request;
  request.gguf = folder.write("tiny.gguf", tiny_llama().build());
  request.mmproj = folder.write("mmproj-tiny.gguf", testing::tiny_mmproj());
  request.loras = {folder.write("b-lora.gguf", testing::tiny_lora()),
                   folder.write("a-lora.gguf", testing::tiny_lora())};
  request.chat_template = folder.write("chat.jinja", "{{ messages }}");
  request.licenses = {folder.write("LICENSE", "Apache-2.0"), folder.write("COPYING", "more")};
  request.context_size = 1024;
  request.annotations = {{"org.opencontainers.image.source", "https://example.com/tiny"}};
  return request;
}

std::string message(const auto& result) {
  return result ? std::string("no error") : result.error().message();
}

TEST(Package, DockerGgufGolden) {
  const Folder folder;
  const auto package = make_package(everything(folder));
  ASSERT_TRUE(package) << message(package);
  expect_golden("docker-gguf.config.json", package->config);
  expect_golden("docker-gguf.manifest.json", package->manifest);
  const auto model = read_back(*package);
  ASSERT_TRUE(model) << message(model);
  EXPECT_EQ(model->id, package->manifest_descriptor.digest);
  EXPECT_EQ(model->kind, Kind::kDockerV01);
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_EQ(model->quantization, "F16");
  EXPECT_EQ(model->context_size, 1024U);
  EXPECT_EQ(model->context_length, 2048U);
  EXPECT_EQ(model->files.size(), 7U);
  EXPECT_EQ(model->files[2].path, "a-lora.gguf");
  EXPECT_EQ(model->files[0].descriptor.annotation("org.opencontainers.image.title"), "tiny.gguf");
}

TEST(Package, ModelPackGgufGolden) {
  const Folder folder;
  PackageRequest request = everything(folder);
  request.format = PackageFormat::kModelPack;
  const auto package = make_package(request);
  ASSERT_TRUE(package) << message(package);
  expect_golden("modelpack-gguf.config.json", package->config);
  expect_golden("modelpack-gguf.manifest.json", package->manifest);
  const auto model = read_back(*package);
  ASSERT_TRUE(model) << message(model);
  EXPECT_EQ(model->kind, Kind::kModelPack);
  EXPECT_EQ(model->context_size, 1024U);
  EXPECT_EQ(model->context_length, 2048U);
  for (const Role role :
       {Role::kWeights, Role::kMmproj, Role::kLora, Role::kChatTemplate, Role::kLicense}) {
    EXPECT_NE(model->first(role), nullptr) << to_string(role);
  }
}

PackageRequest folder_request(const Folder& folder) {
  folder.write("model.safetensors", tiny_safetensors());
  folder.write("text_encoder/model.safetensors", tiny_safetensors());
  folder.write("config.json",
               R"({"architectures":["LlamaForCausalLM"],"max_position_embeddings":8192})");
  folder.write("tokenizer.json", "{}");
  folder.write("README.md", "# tiny");
  folder.write("LICENSE", "MIT");
  folder.write(".git/config", "secret");
  folder.write(".hidden", "secret");
  PackageRequest request;
  request.safetensors_dir = folder.path();
  return request;
}

TEST(Package, DockerFolderGolden) {
  const Folder folder;
  const auto package = make_package(folder_request(folder));
  ASSERT_TRUE(package) << message(package);
  expect_golden("docker-folder.config.json", package->config);
  expect_golden("docker-folder.manifest.json", package->manifest);
  const auto model = read_back(*package);
  ASSERT_TRUE(model) << message(model);
  EXPECT_EQ(model->kind, Kind::kDockerV02);
  EXPECT_EQ(model->files.size(), 6U);
  EXPECT_EQ(model->architecture, "LlamaForCausalLM");
  EXPECT_EQ(model->context_length, 8192U);
  EXPECT_EQ(model->quantization, "F16");
}

TEST(Package, ModelPackFolderGolden) {
  const Folder folder;
  PackageRequest request = folder_request(folder);
  request.format = PackageFormat::kModelPack;
  const auto package = make_package(request);
  ASSERT_TRUE(package) << message(package);
  expect_golden("modelpack-folder.config.json", package->config);
  expect_golden("modelpack-folder.manifest.json", package->manifest);
}

TEST(Package, SameBytesSameDigestWhateverTheirTimeModeOrFolder) {
  const Folder one;
  const Folder other;
  PackageRequest first = everything(one);
  PackageRequest second = everything(other);
  const ::utimbuf times{12345, 12345};
  ASSERT_EQ(::utime(second.gguf.c_str(), &times), 0);
  ASSERT_EQ(::chmod(second.gguf.c_str(), 0400), 0);
  std::swap(second.loras[0], second.loras[1]);
  std::swap(second.licenses[0], second.licenses[1]);
  EXPECT_EQ(make_package(first)->manifest, make_package(second)->manifest);
}

TEST(Package, CreatedIsTheTimeAsked) {
  const Folder folder;
  PackageRequest request = everything(folder);
  request.created = parse_source_date_epoch("1700000000").value();
  const auto package = make_package(request);
  ASSERT_TRUE(package);
  EXPECT_EQ(format_rfc3339(read_back(*package)->created.value()), "2023-11-14T22:13:20Z");
  EXPECT_EQ(parse_source_date_epoch("").value(), std::chrono::sys_seconds{});
  for (const char* wrong : {"x", "-1", "1.5", "99999999999999"})
    EXPECT_FALSE(parse_source_date_epoch(wrong)) << wrong;
}

TEST(Package, AnyShardFindsItsSiblings) {
  const Folder folder;
  PackageRequest request;
  for (std::uint16_t i = 0; i < 3; ++i) {
    request.gguf = folder.write(fmt::format("m-0000{}-of-00003.gguf", i + 1), tiny_shard(i, 3));
  }
  const auto package = make_package(request);
  ASSERT_TRUE(package) << message(package);
  const auto model = read_back(*package);
  ASSERT_EQ(model->files.size(), 3U);
  EXPECT_EQ(model->files[0].path, "m-00001-of-00003.gguf");
  EXPECT_EQ(model->parameters, "768");
  EXPECT_EQ(model->quantization, "Q4_K_M");
}

TEST(Package, RefusesIncompleteAndWrongShards) {
  const Folder folder;
  PackageRequest request;
  request.gguf = folder.write("m-00001-of-00002.gguf", tiny_shard(0, 2));
  const auto missing = make_package(request);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(message(missing).find("part 2 of 2"), std::string::npos) << message(missing);
  folder.write("m-00002-of-00002.gguf", tiny_shard(0, 2));
  EXPECT_NE(message(make_package(request)).find("its header says part 1 of 2"), std::string::npos);
  request.gguf = folder.write("renamed.gguf", tiny_shard(0, 2));
  EXPECT_NE(message(make_package(request)).find("its name does not say so"), std::string::npos);
}

TEST(Package, FromKeepsLayersAndUnknownFields) {
  const Folder folder;
  PackageRequest request = everything(folder);
  request.annotations.clear();
  auto base = make_package(request).value();
  // A field of another tool must survive.
  json::Value config = json::parse(base.config, "config").value();
  config.as_object()["acme"] = "kept";
  base.config = json::serialize(config);
  oci::Manifest manifest = oci::parse_manifest(base.manifest, oci::media::kManifest).value();
  manifest.config = oci::describe(base.config, media::kDockerConfigV01);
  base.manifest = oci::serialize(manifest);

  PackageRequest from;
  from.from = Existing{read_back(base).value(), base.config};
  from.context_size = 512;
  from.chat_template = folder.write("new.jinja", "new");
  const auto package = make_package(from);
  ASSERT_TRUE(package) << message(package);
  const auto model = read_back(*package);
  ASSERT_TRUE(model);
  EXPECT_EQ(model->context_size, 512U);
  EXPECT_EQ(model->first(Role::kChatTemplate)->path, "new.jinja");
  EXPECT_EQ(model->files.size(), 7U);
  EXPECT_EQ(model->files[0].descriptor.digest, read_back(base)->files[0].descriptor.digest);
  EXPECT_NE(package->config.find(R"("acme":"kept")"), std::string::npos);
}

TEST(Package, FromWithoutChangesIsTheSameModel) {
  const Folder folder;
  for (const PackageFormat format : {PackageFormat::kDocker, PackageFormat::kModelPack}) {
    PackageRequest request = everything(folder);
    request.format = format;
    const auto base = make_package(request).value();
    PackageRequest from;
    from.from = Existing{read_back(base).value(), base.config};
    EXPECT_EQ(make_package(from)->manifest, base.manifest);
  }
}

TEST(Package, FromConvertsBetweenFormatsWithTheSameBlobs) {
  const Folder folder;
  PackageRequest request = everything(folder);
  const auto docker = make_package(request).value();
  PackageRequest from;
  from.from = Existing{read_back(docker).value(), docker.config};
  from.format = PackageFormat::kModelPack;
  const auto pack = make_package(from).value();
  EXPECT_EQ(read_back(pack)->kind, Kind::kModelPack);
  EXPECT_EQ(pack.layers[0].digest, docker.layers[0].digest);
  EXPECT_EQ(pack.layers[0].media_type, media::kModelPackWeight);
  EXPECT_EQ(read_back(pack)->context_size, 1024U);

  from.from = Existing{read_back(pack).value(), pack.config};
  from.format = PackageFormat::kDocker;
  const auto again = make_package(from).value();
  EXPECT_EQ(read_back(again)->kind, Kind::kDockerV01);
  ASSERT_EQ(again.layers.size(), docker.layers.size());
  for (std::size_t i = 0; i < docker.layers.size(); ++i) {
    EXPECT_EQ(json::serialize(oci::to_json(again.layers[i])),
              json::serialize(oci::to_json(docker.layers[i])));
  }
}

TEST(Package, CompressedLayersKeepTheirDiffIdsAndDoNotConvert) {
  const testing::TestArtifact foreign = testing::artifact(
      media::kModelPackConfig,
      R"({"config":{},"modelfs":{"type":"layers","diffIds":["sha256:unpacked"]}})",
      {{"application/vnd.cncf.model.weight.v1.tar+gzip",
        {{"org.cncf.model.filepath", "m.gguf"}},
        "bytes"}});
  PackageRequest from;
  from.from = Existing{testing::read(foreign).value(), foreign.config};
  from.context_size = 99;
  const auto package = make_package(from);
  ASSERT_TRUE(package) << message(package);
  EXPECT_NE(package->config.find("sha256:unpacked"), std::string::npos);
  from.format = PackageFormat::kDocker;
  EXPECT_EQ(make_package(from).error().code(), Code::kUnsupported);
}

TEST(Package, RefusesWhatIsNoModel) {
  const Folder folder;
  PackageRequest request;
  EXPECT_NE(message(make_package(request)).find("one of --gguf"), std::string::npos);
  request.gguf = folder.write("text.gguf", "hello, world");
  const auto text = make_package(request);
  EXPECT_NE(message(text).find("not a GGUF file"), std::string::npos);
  EXPECT_EQ(message(text).find("part 1"), std::string::npos) << message(text);
  EXPECT_EQ(text.error().code(), Code::kInvalid) << "the user's file, not damage of ours";
  request.gguf = folder.write("lora.gguf", testing::tiny_lora());
  EXPECT_NE(message(make_package(request)).find("--lora"), std::string::npos);
  request.gguf = folder.write("clip.gguf", testing::tiny_mmproj());
  EXPECT_NE(message(make_package(request)).find("--mmproj"), std::string::npos);
  request.gguf = folder / "absent.gguf";
  EXPECT_EQ(make_package(request).error().code(), Code::kNotFound);
  request.gguf = folder.path();
  EXPECT_FALSE(make_package(request));
}

TEST(Package, RefusesExtrasOfTheWrongKind) {
  const Folder folder;
  const PackageRequest good = everything(folder);
  PackageRequest request = good;
  request.mmproj = good.gguf;
  EXPECT_NE(message(make_package(request)).find("not a multimodal projector"), std::string::npos);
  request = good;
  request.mmproj = good.licenses[0];
  EXPECT_EQ(make_package(request).error().code(), Code::kInvalid);
  request = good;
  request.loras = {good.gguf};
  EXPECT_NE(message(make_package(request)).find("not a LoRA adapter"), std::string::npos);
  request.loras = {folder.write("qwen.gguf", testing::tiny_lora("qwen3"))};
  EXPECT_NE(message(make_package(request)).find("for qwen3 models"), std::string::npos);
  request = good;
  request.chat_template = folder.write("empty.jinja", "");
  EXPECT_NE(message(make_package(request)).find("0 bytes"), std::string::npos);
  request = good;
  request.licenses = {good.licenses[0], folder.write("sub/LICENSE", "other")};
  EXPECT_NE(message(make_package(request)).find("would be named LICENSE"), std::string::npos);
  request = good;
  request.context_size = 0;
  EXPECT_FALSE(make_package(request));
  request.context_size = 1ULL << 31;
  EXPECT_FALSE(make_package(request));
  request = good;
  request.annotations["bad"] = "\xFF";
  EXPECT_NE(message(make_package(request)).find("UTF-8"), std::string::npos);
  request = good;
  request.gguf = folder.write("b\xFF.gguf", tiny_llama().build());
  EXPECT_FALSE(make_package(request));
}

TEST(Package, RefusesFoldersThatAreNotWhole) {
  const Folder folder;
  PackageRequest request;
  request.safetensors_dir = folder.path();
  EXPECT_NE(message(make_package(request)).find("no .safetensors file"), std::string::npos);
  folder.write("model-00001-of-00002.safetensors", tiny_safetensors());
  EXPECT_NE(message(make_package(request)).find("part 2 of 2 is missing"), std::string::npos);
  folder.write("model-00002-of-00002.safetensors", tiny_safetensors());
  EXPECT_TRUE(make_package(request));
  folder.write("model.safetensors.index.json", R"({"weight_map":{"t":"third.safetensors"}})");
  EXPECT_NE(message(make_package(request)).find("third.safetensors, which"), std::string::npos);
  folder.write("model.safetensors.index.json", R"({"weight_map":{"t":"../../etc/passwd"}})");
  EXPECT_NE(message(make_package(request)).find("outside its folder"), std::string::npos);
}

TEST(Package, RefusesLinksInFolders) {
  const Folder folder;
  const PackageRequest request = folder_request(folder);
  ASSERT_EQ(::symlink("/etc/hostname", (folder / "stolen.txt").c_str()), 0);
  EXPECT_NE(message(make_package(request)).find("link or a device"), std::string::npos);
}

TEST(Package, RefusesAFileThatChangedMeanwhile) {
  const Folder folder;
  const PackageRequest request = everything(folder);
  const Plan plan = plan_package(request).value();
  std::vector<StoredFile> stored;
  for (const PlannedFile& file : plan.files) stored.push_back({oci::Digest::of({}), file.size + 1});
  EXPECT_EQ(assemble(plan, stored).error().code(), Code::kCorrupt);
  stored.clear();
  EXPECT_EQ(assemble(plan, stored).error().code(), Code::kInternal);
}

}  // namespace
}  // namespace berth::model
