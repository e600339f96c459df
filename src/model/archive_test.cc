#include "model/archive.h"

#include <gtest/gtest.h>

#include "content/memory_target.h"
#include "model/dmr_store.h"
#include "model/media.h"
#include "model/tar_reader.h"
#include "model/test_model.h"

namespace berth::model {
namespace {

using formats::testing::tiny_llama;
using testing::Folder;

class TextReader : public rt::Reader {
 public:
  // Gives at most `piece` bytes at once, as sockets do.
  explicit TextReader(std::string text, std::size_t piece = 700)
      : text_(std::move(text)), piece_(piece) {}
  rt::Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t count = std::min({into.size(), piece_, text_.size() - at_});
    std::memcpy(into.data(), text_.data() + at_, count);
    at_ += count;
    co_return count;
  }

 private:
  std::string text_;
  std::size_t piece_;
  std::size_t at_ = 0;
};

std::string entry(std::string_view name, std::string_view content) {
  return tar_header(name, content.size()) + std::string(content) +
         std::string(tar_padding(content.size()), '\0');
}
std::string blob_entry(std::string_view content) {
  return entry("blobs/" + oci::Digest::of(as_bytes(content)).path(), content);
}
const std::string kEnd(1024, '\0');

class ArchiveTest : public ::testing::Test {
 protected:
  // A model in `from_`.
  Loaded make(content::MemoryTarget& into) {
    PackageRequest request;
    request.gguf = folder_.write("tiny.gguf", tiny_llama().build());
    request.licenses = {folder_.write("LICENSE", "Apache-2.0")};
    const Package package = testing::make_package(request).value();
    into.add(testing::read_file(request.gguf), "x");
    into.add("Apache-2.0", "x");
    into.add(package.config, "x");
    into.add(package.manifest, oci::media::kManifest);
    return loop_.run(load_model(op_, loop_, into, package.manifest_descriptor)).value();
  }
  std::string read_all(rt::Reader& reader) {
    std::string all;
    std::string piece(1000, '\0');
    for (;;) {
      const std::size_t count =
          loop_.run(reader.read(op_, std::as_writable_bytes(std::span(piece.data(), piece.size()))))
              .value();
      if (count == 0) return all;
      all.append(piece, 0, count);
    }
  }
  Result<std::vector<ImportedModel>> import(std::string tar, content::Storage& to) {
    TextReader reader(std::move(tar));
    return loop_.run(import_archive(op_, loop_, reader, to, progress_));
  }
  std::string exported(const std::vector<std::string>& names) {
    const Loaded loaded = make(from_);
    Export out = export_model(from_, loaded, names).value();
    std::string tar = read_all(*out.reader);
    EXPECT_EQ(tar.size(), out.size);
    EXPECT_EQ(tar.size() % 512, 0U);
    return tar;
  }

  Folder folder_;
  rt::Loop loop_;
  rt::Op op_;
  content::MemoryTarget from_;
  content::MemoryTarget to_;
  content::NoProgress progress_;
};

TEST_F(ArchiveTest, WhatIsExportedIsImportedByteForByte) {
  const std::string tar = exported({"docker.io/ai/tiny:latest", "localhost:5000/tiny:v1"});
  const auto models = import(tar, to_);
  ASSERT_TRUE(models) << models.error().message();
  ASSERT_EQ(models->size(), 1U);
  EXPECT_EQ((*models)[0].names,
            (std::vector<std::string>{"docker.io/ai/tiny:latest", "localhost:5000/tiny:v1"}));
  EXPECT_EQ(to_.blobs(), from_.blobs());
}

TEST_F(ArchiveTest, ReadsTheTarOfDockerModelRunner) {
  const Loaded loaded = make(from_);
  std::string tar = tar_header("blobs", std::nullopt) + tar_header("blobs/sha256", std::nullopt);
  for (const auto& [digest, bytes] : from_.blobs()) {
    if (bytes != loaded.manifest_bytes) tar += blob_entry(bytes);
  }
  // Go's writer ends with blocks of zeros; an entry of another kind between is passed over.
  tar += entry("README", "hello") + entry("manifest.json", loaded.manifest_bytes) + kEnd;
  const auto models = import(tar, to_);
  ASSERT_TRUE(models) << models.error().message();
  EXPECT_EQ((*models)[0].manifest.digest, loaded.manifest.digest);
  EXPECT_TRUE((*models)[0].names.empty());
  EXPECT_EQ(to_.blobs(), from_.blobs());
}

TEST_F(ArchiveTest, AWrongBlobIsRefused) {
  std::string tar = exported({});
  const std::string weights = testing::read_file(folder_ / "tiny.gguf");
  const std::size_t at = tar.find(weights);
  ASSERT_NE(at, std::string::npos);
  tar[at + 100] = static_cast<char>(tar[at + 100] ^ 1);
  EXPECT_EQ(import(tar, to_).error().code(), Code::kDigestMismatch);
  EXPECT_FALSE(to_.blobs().contains(oci::Digest::of(as_bytes(weights))));
}

TEST_F(ArchiveTest, AMissingBlobIsRefused) {
  const Loaded loaded = make(from_);
  const std::string tar =
      entry("manifest.json", loaded.manifest_bytes) + blob_entry("Apache-2.0") + kEnd;
  EXPECT_FALSE(import(tar, to_));
  EXPECT_FALSE(to_.blobs().contains(loaded.manifest.digest));
}

TEST_F(ArchiveTest, EveryCutIsRefused) {
  const std::string tar = exported({});
  const std::size_t last = tar.find("manifest.json", 1000);
  for (std::size_t length = 0; length < tar.size() - 2048; length += 257) {
    content::MemoryTarget to;
    // Where the index came and every blob, the rest is a bonus.
    if (length > last) break;
    EXPECT_FALSE(import(tar.substr(0, length), to)) << length;
  }
}

TEST_F(ArchiveTest, RefusesWhatIsNoArchiveOfAModel) {
  EXPECT_NE(import("hello", to_).error().message().find("in the middle of a header"),
            std::string::npos);
  EXPECT_NE(import(std::string(2000, 'x'), to_).error().message().find("not a tar archive"),
            std::string::npos);
  EXPECT_NE(import(kEnd, to_).error().message().find("no model"), std::string::npos);
  EXPECT_EQ(import(entry("manifest.json", R"([{"Config":"x"}])") + kEnd, to_).error().code(),
            Code::kUnsupported);
  EXPECT_FALSE(import(entry("index.json", "{") + kEnd, to_));
  EXPECT_FALSE(import(entry("index.json", R"({"schemaVersion":2,"manifests":[]})") + kEnd, to_));
  const testing::TestArtifact image =
      testing::artifact("application/vnd.oci.image.config.v1+json", "{}",
                        {{"application/vnd.oci.image.layer.v1.tar"}});
  EXPECT_NE(import(entry("manifest.json", image.manifest) + kEnd, to_)
                .error()
                .message()
                .find("a container image"),
            std::string::npos);
}

TEST_F(ArchiveTest, RefusesHostileEntries) {
  EXPECT_EQ(import(entry("blobs/sha256/../../etc/passwd", "x") + kEnd, to_).error().code(),
            Code::kCorrupt);
  EXPECT_EQ(import(entry("blobs/sha256/ABC", "x") + kEnd, to_).error().code(), Code::kCorrupt);
  EXPECT_EQ(import(entry("blobs/md5/00", "x") + kEnd, to_).error().code(), Code::kCorrupt);
  const std::string huge = entry("index.json", std::string(5 * 1024 * 1024, ' '));
  EXPECT_EQ(import(huge + kEnd, to_).error().code(), Code::kTooLarge);
  std::string link = tar_header("blobs/sha256/" + std::string(64, '0'), 0);
  link[156] = '2';
  EXPECT_FALSE(import(link + kEnd, to_));
  EXPECT_TRUE(to_.blobs().empty());
}

TEST_F(ArchiveTest, TheTarReaderKnowsLongNamesAndPax) {
  const std::string name = std::string(90, 'a') + "/" + std::string(90, 'b');
  std::string gnu = tar_header("././@LongLink", name.size() + 1);
  gnu[156] = 'L';
  // The checksum has to follow a changed type.
  unsigned sum = 0;
  std::memset(&gnu[148], ' ', 8);
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(gnu[i]);
  const std::string digits = fmt::format("{:06o}", sum);
  std::memcpy(&gnu[148], digits.c_str(), 7);
  gnu += name + std::string(1 + tar_padding(name.size() + 1), '\0') + entry("short", "gnu");
  TextReader in(entry(name, "pax") + gnu + entry("last", "end") + kEnd);
  TarReader tar(in);
  for (const auto& [want, text] :
       {std::pair<std::string, std::string>{name, "pax"}, {name, "gnu"}, {"last", "end"}}) {
    const auto next = loop_.run(tar.next(op_));
    ASSERT_TRUE(next) << next.error().message();
    ASSERT_TRUE(*next);
    EXPECT_EQ((*next)->name, want);
    EXPECT_EQ(loop_.run(tar.read_all(op_, 100)).value(), text);
  }
  EXPECT_FALSE(loop_.run(tar.next(op_)).value());
}

TEST_F(ArchiveTest, SizesOverEightGigabytesAreWrittenAndRead) {
  const std::string header = tar_header("big", 10'000'000'000);
  EXPECT_EQ(header.size(), 1536U);
  TextReader in(header);
  TarReader tar(in);
  EXPECT_EQ(loop_.run(tar.next(op_)).value()->size, 10'000'000'000U);
}

TEST_F(ArchiveTest, DamagedPaxHeadersAreRefused) {
  for (const std::string records :
       {"5 path", "999 path=x\n", "3 \n", "x path=y\n", "12 size=-123\n", "0 a=b\n"}) {
    std::string header = tar_header(std::string(101, 'n'), 1).substr(0, 512);  // a pax header block
    const std::string size = fmt::format("{:011o}", records.size());
    std::memcpy(&header[124], size.c_str(), 11);
    unsigned sum = 0;
    std::memset(&header[148], ' ', 8);
    for (const char c : header) sum += static_cast<unsigned char>(c);
    const std::string digits = fmt::format("{:06o}", sum);
    std::memcpy(&header[148], digits.c_str(), 7);
    TextReader in(header + records + std::string(tar_padding(records.size()), '\0') +
                  entry("a", "b") + kEnd);
    TarReader tar(in);
    EXPECT_EQ(loop_.run(tar.next(op_)).error().code(), Code::kCorrupt) << records;
  }
}

// --- folders

class FolderTest : public ArchiveTest {
 protected:
  void write_blobs(const std::string& manifest) {
    for (const auto& [digest, bytes] : from_.blobs()) {
      const std::string_view kind = bytes == manifest ? "manifests/" : "blobs/";
      folder_.write("store/" + std::string(kind) + digest.path(), bytes);
    }
  }
  Result<std::vector<FolderModel>> read() {
    return read_model_folder(fs::Dir::open(folder_ / "store").value());
  }
};

TEST_F(FolderTest, ReadsAStoreOfDockerModelRunner) {
  const Loaded loaded = make(from_);
  write_blobs(loaded.manifest_bytes);
  const std::string id = loaded.manifest.digest.string();
  const std::string lost = "sha256:" + std::string(64, 'a');
  folder_.write("store/layout.json", R"({"version":"1.0.0"})");
  folder_.write(
      "store/models.json",
      fmt::format(
          R"({{"models":[{{"id":"{}","tags":["docker.io/ai/tiny:latest"],"files":[]}},{{"id":"{}","tags":[]}},)"
          R"({{"id":"../x"}}]}})",
          id, lost));
  const auto models = read();
  ASSERT_TRUE(models) << models.error().message();
  ASSERT_EQ(models->size(), 3U);
  EXPECT_EQ((*models)[0].problem, "");
  EXPECT_EQ((*models)[0].names, std::vector<std::string>{"docker.io/ai/tiny:latest"});
  EXPECT_NE((*models)[1].problem, "");
  EXPECT_NE((*models)[2].problem, "");
  const fs::Dir dir = fs::Dir::open(folder_ / "store").value();
  const auto fetcher = folder_fetcher(loop_, dir);
  const auto back = loop_.run(load_model(op_, loop_, *fetcher, (*models)[0].manifest));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->model.id, loaded.model.id);
  for (const File& file : back->model.files) {
    EXPECT_TRUE(loop_.run(to_.put(op_, file.descriptor, *fetcher, progress_)));
  }
}

TEST_F(FolderTest, ReadsAnOciLayout) {
  const Loaded loaded = make(from_);
  write_blobs("");
  oci::Index index{.media_type = std::string(oci::media::kIndex), .manifests = {loaded.manifest}};
  index.manifests[0].annotations[std::string(oci::annotation::kRefName)] = "latest";
  folder_.write("store/index.json", oci::serialize(index));
  const auto models = read();
  ASSERT_TRUE(models) << models.error().message();
  EXPECT_EQ((*models)[0].manifest.digest, loaded.manifest.digest);
  EXPECT_TRUE((*models)[0].names.empty());  // a bare tag names nothing
}

TEST_F(FolderTest, RefusesOtherFoldersAndVersions) {
  folder_.write("store/x", "");
  EXPECT_EQ(read().error().code(), Code::kNotFound);
  folder_.write("store/models.json", "{}");
  EXPECT_FALSE(read());
  folder_.write("store/layout.json", R"({"version":"2.0.0"})");
  EXPECT_EQ(read().error().code(), Code::kUnsupported);
  folder_.write("store/layout.json", R"({"version":"1.0.0"})");
  EXPECT_TRUE(read()->empty());
  folder_.write("store/models.json", "[");
  EXPECT_FALSE(read());
}

TEST_F(FolderTest, ADamagedManifestIsAProblem) {
  const Loaded loaded = make(from_);
  folder_.write("store/layout.json", R"({"version":"1.0.0"})");
  folder_.write("store/models.json",
                fmt::format(R"({{"models":[{{"id":"{}"}}]}})", loaded.manifest.digest.string()));
  folder_.write("store/manifests/" + loaded.manifest.digest.path(), loaded.manifest_bytes + " ");
  EXPECT_NE((*read())[0].problem.find("not what its digest says"), std::string::npos);
}

// --- load

TEST_F(ArchiveTest, LoadPicksFromAnIndexAndRefusesOthers) {
  const Loaded loaded = make(from_);
  oci::Index index{.media_type = std::string(oci::media::kIndex), .manifests = {loaded.manifest}};
  index.manifests[0].platform = host_platform();
  const oci::Descriptor root = from_.add(oci::serialize(index), oci::media::kIndex);
  const auto through = loop_.run(load_model(op_, loop_, from_, root));
  ASSERT_TRUE(through) << through.error().message();
  EXPECT_EQ(through->index->digest, root.digest);
  EXPECT_EQ(through->model.id, loaded.model.id);
  const testing::TestArtifact image =
      testing::artifact("application/vnd.oci.image.config.v1+json", "{}", {{"x"}});
  EXPECT_EQ(
      loop_.run(load_model(op_, loop_, from_, from_.add(image.manifest, oci::media::kManifest)))
          .error()
          .code(),
      Code::kUnsupported);
  from_.corrupt(loaded.model.config.digest, "other");
  EXPECT_EQ(loop_.run(load_model(op_, loop_, from_, loaded.manifest)).error().code(),
            Code::kDigestMismatch);
}

}  // namespace
}  // namespace berth::model
