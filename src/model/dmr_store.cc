#include "model/dmr_store.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "model/layout_index.h"
#include "oci/media_types.h"
#include "rt/async.h"

namespace berth::model {
namespace {

constexpr std::size_t kMaxIndexBytes = 64 * 1024 * 1024;

// Docker Model Runner keeps manifests apart from blobs; an OCI layout does not.
Result<fs::File> open_blob(const fs::Dir& folder, const oci::Digest& digest) {
  auto blob = folder.open_read("blobs/" + digest.path());
  if (blob || blob.error().code() != Code::kNotFound) return blob;
  auto manifest = folder.open_read("manifests/" + digest.path());
  if (manifest) return manifest;
  return fail(Code::kNotFound, "{} holds no {}", printable(folder.path()), digest.string());
}

Status check_version(const fs::Dir& folder) {
  TRY(const std::string text, folder.read_small("layout.json", 4096));
  TRY(const json::Value value, json::parse(text, "layout.json"));
  TRY(const std::string version, json::View(value, "layout.json").string("version"));
  if (version.starts_with("1.")) return {};
  return fail(Code::kUnsupported, "{} is a model store of version {}; version 1 is read",
              printable(folder.path()), printable(version, 40));
}

Result<oci::Descriptor> read_manifest(const fs::Dir& folder, const oci::Digest& id) {
  TRY(const std::string bytes, folder.read_small("manifests/" + id.path(), oci::kMaxManifestBytes));
  TRY(const oci::Descriptor manifest, describe_raw_manifest(bytes));
  if (manifest.digest == id) return manifest;
  return fail(Code::kCorrupt, "the manifest of {} is not what its digest says", id.string());
}

Result<FolderModel> read_entry(const fs::Dir& folder, const json::View& view) {
  FolderModel model;
  TRY(const std::string id, view.string("id"));
  TRY(model.names, view.strings_or_empty("tags"));
  auto digest = oci::Digest::parse(id);
  if (!digest) {
    model.problem = fmt::format("{} is no model id", printable(id, 100));
    return model;
  }
  auto manifest = read_manifest(folder, *digest);
  if (manifest) {
    model.manifest = std::move(*manifest);
  } else {
    // An interrupted pull leaves such entries there: they must not keep the others from being
    // taken.
    model.manifest.digest = *digest;
    model.problem = manifest.error().message();
  }
  return model;
}

Result<std::vector<FolderModel>> read_dmr(const fs::Dir& folder) {
  TRY_OK(check_version(folder));
  TRY(const std::string text, folder.read_small("models.json", kMaxIndexBytes));
  TRY(const json::Value value, json::parse(text, "models.json", {.bytes = kMaxIndexBytes}));
  TRY(const auto entries, json::View(value, "models.json").array_or_empty("models"));
  std::vector<FolderModel> models;
  for (const json::View& entry : entries) {
    TRY(FolderModel model, read_entry(folder, entry));
    models.push_back(std::move(model));
  }
  return models;
}

Result<std::vector<FolderModel>> read_layout(const fs::Dir& folder) {
  TRY(const std::string text, folder.read_small("index.json", kMaxIndexBytes));
  TRY(const auto entries, read_layout_index(text));
  std::vector<FolderModel> models;
  for (const LayoutEntry& entry : entries) models.push_back({entry.manifest, entry.names, ""});
  return models;
}

class BlobReader : public rt::Reader {
 public:
  BlobReader(rt::Loop& loop, fs::File file, std::uint64_t offset, std::uint64_t length)
      : loop_(loop), file_(std::move(file)), offset_(offset), left_(length) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_));
    if (want == 0) co_return std::size_t{0};
    CO_TRY(const std::size_t count, co_await rt::blocking(loop_, [this, into, want] {
             return file_.read_at(offset_, into.first(want));
           }));
    offset_ += count;
    left_ = count == 0 ? 0 : left_ - count;
    co_return count;
  }

 private:
  rt::Loop& loop_;
  fs::File file_;
  std::uint64_t offset_;
  std::uint64_t left_;
};

struct Opened {
  fs::File file;
  std::uint64_t size;
};

Result<Opened> open_sized(const fs::Dir& folder, const oci::Digest& digest) {
  TRY(fs::File file, open_blob(folder, digest));
  TRY(const fs::FileInfo info, file.info());
  return Opened{std::move(file), info.size};
}

class FolderFetcher : public content::Fetcher {
 public:
  FolderFetcher(rt::Loop& loop, const fs::Dir& folder) : loop_(loop), folder_(folder) {}

  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override {
    CO_TRY_OK(op.check());
    CO_TRY(Opened opened, co_await rt::blocking(
                              loop_, [this, &blob] { return open_sized(folder_, blob.digest); }));
    if (range.offset > opened.size) {
      co_return fail(Code::kBadRange, "the range begins at {} of {} bytes", range.offset,
                     opened.size);
    }
    const std::uint64_t left = opened.size - range.offset;
    content::Source source;
    source.size = opened.size;
    source.offset = range.offset;
    source.reader = std::make_unique<BlobReader>(loop_, std::move(opened.file), range.offset,
                                                 std::min(left, range.length.value_or(left)));
    co_return source;
  }

 private:
  rt::Loop& loop_;
  const fs::Dir& folder_;
};

}  // namespace

Result<std::vector<FolderModel>> read_model_folder(const fs::Dir& folder) {
  TRY(const auto dmr, folder.find("models.json"));
  if (dmr)
    return in_context(read_dmr(folder),
                      fmt::format("cannot read the models of {}", printable(folder.path())));
  TRY(const auto layout, folder.find("index.json"));
  if (layout)
    return in_context(read_layout(folder),
                      fmt::format("cannot read the models of {}", printable(folder.path())));
  return fail(
      Code::kNotFound,
      "{} is neither a model store of docker model (models.json) nor an OCI layout (index.json)",
      printable(folder.path()));
}

std::unique_ptr<content::Fetcher> folder_fetcher(rt::Loop& loop, const fs::Dir& folder) {
  return std::make_unique<FolderFetcher>(loop, folder);
}

}  // namespace berth::model
