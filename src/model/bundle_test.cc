#include "model/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "model/media.h"
#include "model/summary.h"
#include "model/test_model.h"
#include "model/unpack.h"

namespace berth::model {
namespace {

using testing::Folder;
using testing::TestLayer;

struct Entry {
  std::string name;
  std::string content = {};
  unsigned type = AE_IFREG;
  std::string link = {};
};

std::string make_tar(const std::vector<Entry>& entries, Packing packing = Packing::kTar) {
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  if (packing == Packing::kTarGzip) archive_write_add_filter_gzip(writer);
  if (packing == Packing::kTarZstd) archive_write_add_filter_zstd(writer);
  std::string out(8 * 1024 * 1024, '\0');
  std::size_t used = 0;
  archive_write_open_memory(writer, out.data(), out.size(), &used);
  for (const Entry& entry : entries) {
    archive_entry* header = archive_entry_new();
    archive_entry_set_pathname(header, entry.name.c_str());
    archive_entry_set_size(header, static_cast<la_int64_t>(entry.content.size()));
    archive_entry_set_filetype(header, entry.type);
    archive_entry_set_perm(header, 04777);
    if (entry.type == AE_IFLNK) archive_entry_set_symlink(header, entry.link.c_str());
    if (entry.type == AE_IFREG && !entry.link.empty())
      archive_entry_set_hardlink(header, entry.link.c_str());
    archive_write_header(writer, header);
    archive_write_data(writer, entry.content.data(), entry.content.size());
    archive_entry_free(header);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

class UnpackTest : public ::testing::Test {
 protected:
  Result<std::vector<std::string>> run(const std::string& bytes, Packing packing = Packing::kTar,
                                       UnpackLimits limits = {}) {
    const fs::File file = fs::open_user_file(folder_.write("layer.tar", bytes)).value();
    const fs::Dir root = fs::Dir::open(folder_.path()).value();
    const fs::Dir into = root.make_subdir(fmt::format("out{}", ++runs_)).value();
    return unpack(file, packing, into, limits);
  }
  std::string out(std::string_view name) {
    return testing::read_file(folder_ / fmt::format("out{}/{}", runs_, name));
  }

  Folder folder_;
  int runs_ = 0;
};

TEST_F(UnpackTest, EveryPackingGivesTheFiles) {
  for (const Packing packing : {Packing::kTar, Packing::kTarGzip, Packing::kTarZstd}) {
    const auto files = run(make_tar({{"./", "", AE_IFDIR},
                                     {"./a/", "", AE_IFDIR},
                                     {"./a/model.gguf", "weights"},
                                     {"b/c/d", "x"}},
                                    packing),
                           packing);
    ASSERT_TRUE(files) << files.error().message();
    EXPECT_EQ(*files, (std::vector<std::string>{"a/model.gguf", "b/c/d"}));
    EXPECT_EQ(out("a/model.gguf"), "weights");
    struct stat info = {};
    ASSERT_EQ(::stat((folder_ / fmt::format("out{}/b/c/d", runs_)).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600U);
  }
}

TEST_F(UnpackTest, UnsafeNamesAreRefused) {
  for (const char* name : {"../up", "/abs", "a/../../b", "a\\b", "..", ""}) {
    const auto files = run(make_tar({{name, "x"}}));
    EXPECT_FALSE(files) << name;
  }
  EXPECT_FALSE(run(make_tar({{"a/../b/", "", AE_IFDIR}})));
}

TEST_F(UnpackTest, LinksAndDevicesAreRefused) {
  EXPECT_EQ(run(make_tar({{"a", "", AE_IFLNK, "/etc/passwd"}})).error().code(), Code::kCorrupt);
  EXPECT_EQ(run(make_tar({{"a", "x"}, {"b", "", AE_IFREG, "a"}})).error().code(), Code::kCorrupt);
  EXPECT_EQ(run(make_tar({{"a", "", AE_IFIFO}})).error().code(), Code::kCorrupt);
  EXPECT_EQ(run(make_tar({{"a", "", AE_IFCHR}})).error().code(), Code::kCorrupt);
}

TEST_F(UnpackTest, TheSameNameTwiceIsRefused) {
  const auto files = run(make_tar({{"a", "x"}, {"a", "y"}}));
  ASSERT_FALSE(files);
  EXPECT_NE(files.error().message().find("a twice"), std::string::npos);
}

TEST_F(UnpackTest, ABombIsRefusedBeforeItIsWritten) {
  const std::string zeros(4 * 1024 * 1024, '\0');
  const std::string bomb = make_tar({{"a", zeros}}, Packing::kTarGzip);
  ASSERT_LT(bomb.size(), 10'000U);
  const auto files = run(bomb, Packing::kTarGzip, {.free_bytes = 1000});
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code(), Code::kTooLarge);
  EXPECT_EQ(out("a"), "");
  EXPECT_TRUE(run(bomb, Packing::kTarGzip));
  EXPECT_EQ(run(make_tar({{"a", "x"}, {"b", "x"}}), Packing::kTar, {.entries = 1}).error().code(),
            Code::kTooLarge);
}

TEST_F(UnpackTest, DamageIsRefused) {
  std::string tar = make_tar({{"a", std::string(5000, 'x')}}, Packing::kTarGzip);
  EXPECT_FALSE(run(tar.substr(0, tar.size() / 2), Packing::kTarGzip));
  tar[tar.size() / 2] = static_cast<char>(tar[tar.size() / 2] ^ 0x55);
  EXPECT_FALSE(run(tar, Packing::kTarGzip));
  EXPECT_FALSE(run("no archive at all", Packing::kTar));
  // What is declared as plain is not decompressed.
  EXPECT_FALSE(run(make_tar({{"a", "x"}}, Packing::kTarGzip), Packing::kTar));
}

class BundleTest : public ::testing::Test {
 protected:
  // Every layer's blob lies in the folder under its hex digest.
  Result<Bundle> bundle(const testing::TestArtifact& artifact,
                        const std::vector<TestLayer>& layers) {
    for (const TestLayer& layer : layers) {
      const std::string& bytes = layer.bytes.empty() ? layer.media_type : layer.bytes;
      folder_.write(oci::Digest::of(as_bytes(bytes)).hex(), bytes);
    }
    const Model model = testing::read(artifact).value();
    return make_bundle(
        model,
        [&](const oci::Digest& digest) -> Result<std::string> { return folder_ / digest.hex(); },
        folder_ / "cache");
  }
  Result<Bundle> docker(const std::vector<TestLayer>& layers, const std::string& config = "{}") {
    return bundle(testing::artifact(media::kDockerConfigV01, config, layers), layers);
  }
  Result<Bundle> pack(const std::vector<TestLayer>& layers) {
    return bundle(testing::artifact(media::kModelPackConfig, "{}", layers), layers);
  }
  static TestLayer named(std::string_view type, std::string path, std::string bytes) {
    return {std::string(type),
            {{std::string(annotation::kFilePath), std::move(path)}},
            std::move(bytes)};
  }

  Folder folder_;
};

TEST_F(BundleTest, TakesRawFilesFromTheirBlobs) {
  const auto bundle =
      docker({named(media::kGguf, "m.gguf", "w"), named(media::kMmproj, "mmproj.gguf", "p"),
              named(media::kLora, "l.gguf", "l"), named(media::kChatTemplate, "t.jinja", "t"),
              named(media::kLicense, "LICENSE", "apache")},
             R"({"config":{"context_size":77}})");
  ASSERT_TRUE(bundle) << bundle.error().message();
  EXPECT_EQ(bundle->format, "gguf");
  EXPECT_EQ(bundle->model, "m.gguf");
  EXPECT_EQ(bundle->mmproj, "mmproj.gguf");
  EXPECT_EQ(bundle->loras, std::vector<std::string>{"l.gguf"});
  EXPECT_EQ(bundle->chat_template, "t.jinja");
  EXPECT_EQ(bundle->context_size, 77U);
  EXPECT_EQ(testing::read_file(bundle->files[0].host_path), "w");
}

TEST_F(BundleTest, TheModelOfASplitOneIsItsFirstShard) {
  const auto unnamed =
      docker({{std::string(media::kGguf), {}, "1"}, {std::string(media::kGguf), {}, "2"}});
  ASSERT_TRUE(unnamed) << unnamed.error().message();
  EXPECT_EQ(unnamed->model, "model-00001-of-00002.gguf");
  const auto own = docker({named(media::kGguf, "m-00002-of-00002.gguf", "b"),
                           named(media::kGguf, "m-00001-of-00002.gguf", "a")});
  ASSERT_TRUE(own);
  EXPECT_EQ(own->model, "m-00001-of-00002.gguf");
}

TEST_F(BundleTest, RefusesWhatCannotBeRun) {
  EXPECT_EQ(docker({named(media::kLicense, "LICENSE", "x")}).error().code(), Code::kUnsupported);
  const auto several =
      docker({named(media::kGguf, "a.gguf", "a"), named(media::kGguf, "b.gguf", "b")});
  ASSERT_FALSE(several);
  EXPECT_EQ(several.error().code(), Code::kUnsupported);
  EXPECT_NE(several.error().message().find("holds 2 models"), std::string::npos);
  EXPECT_EQ(docker({named(media::kGguf, "m-00001-of-00003.gguf", "a"),
                    named(media::kGguf, "m-00002-of-00003.gguf", "b")})
                .error()
                .code(),
            Code::kCorrupt);
  EXPECT_EQ(docker({named(media::kGguf, "m-00001-of-00002.gguf", "a"),
                    named(media::kGguf, "n-00002-of-00002.gguf", "b")})
                .error()
                .code(),
            Code::kCorrupt);
}

TEST_F(BundleTest, ArchivesAreUnpackedOnce) {
  const std::string tar =
      make_tar({{"model.gguf", "weights"}, {"chat.jinja", "t"}}, Packing::kTarZstd);
  const std::vector<TestLayer> layers = {
      named("application/vnd.cncf.model.weight.v1.tar+zstd", "model.gguf", tar)};
  const auto first = pack(layers);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->format, "gguf");
  EXPECT_EQ(first->model, "model.gguf");
  EXPECT_EQ(first->chat_template, "chat.jinja");
  const std::string path = first->files[1].host_path;
  EXPECT_EQ(testing::read_file(path), "weights");
  struct stat before = {};
  struct stat after = {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  ASSERT_TRUE(pack(layers));
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(BundleTest, AHostileArchiveLeavesNothingInTheCache) {
  const std::string tar = make_tar({{"good.gguf", "x"}, {"../bad", "x"}});
  EXPECT_FALSE(pack({named("application/vnd.cncf.model.weight.v1.tar", "m", tar)}));
  EXPECT_TRUE(fs::Dir::open(folder_ / "cache").value().list()->empty());
}

TEST_F(BundleTest, FilesOfTwoLayersMayNotMeet) {
  const std::string tar = make_tar({{"m.gguf", "x"}});
  const auto bundle = pack({named("application/vnd.cncf.model.weight.v1.tar", "a", tar),
                            named("application/vnd.cncf.model.weight.v1.raw", "m.gguf", "y")});
  ASSERT_FALSE(bundle);
  EXPECT_NE(bundle.error().message().find("two files named m.gguf"), std::string::npos);
}

TEST_F(BundleTest, AFolderOfSafetensorsIsTheModel) {
  const auto bundle = docker({named(media::kSafetensors, "text/model.safetensors", "w"),
                              named(media::kModelFile, "config.json", "{}")});
  ASSERT_TRUE(bundle);
  EXPECT_EQ(bundle->format, "safetensors");
  EXPECT_EQ(bundle->model, ".");
}

TEST(Summary, ComesBackAsItWas) {
  const testing::TestArtifact artifact = testing::artifact(
      media::kDockerConfigV01,
      R"({"config":{"format":"gguf","architecture":"llama","parameters":"1B","quantization":"Q8_0","context_size":5,
          "gguf":{"general.architecture":"llama","llama.context_length":"9"}},"descriptor":{"created":"2025-01-01T00:00:00Z"}})",
      {{std::string(media::kGguf), {}, "w"}});
  const Summary summary = summarize(testing::read(artifact).value());
  EXPECT_EQ(summary.context_length, 9U);
  EXPECT_EQ(summary_from_text(to_text(summary)).value(), summary);
  Summary bare = summary;
  bare.context_size.reset();
  bare.context_length.reset();
  bare.created.reset();
  EXPECT_EQ(summary_from_text(to_text(bare)).value(), bare);
}

TEST(Summary, RefusesWhatIsNone) {
  Summary summary;
  summary.architecture = "a:1:b\n";
  const std::string good = to_text(summary);
  EXPECT_EQ(summary_from_text(good).value(), summary);
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string(R"({"v":1,"kind":0})"), std::string("1:2"),
        std::string("1:9") + good.substr(3), std::string("1:21:9") + good.substr(6),
        good + "0:", std::string("99999999999999999999:x"), std::string("4:2"), std::string(":")}) {
    EXPECT_EQ(summary_from_text(text).error().code(), Code::kCorrupt) << text;
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(summary_from_text(good.substr(0, size))) << size;
}

}  // namespace
}  // namespace berth::model
