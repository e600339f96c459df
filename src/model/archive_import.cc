#include <map>

#include "base/failpoint.h"
#include "base/text.h"
#include "model/archive.h"
#include "model/codec.h"
#include "model/layout_index.h"
#include "model/tar_reader.h"
#include "oci/media_types.h"

namespace berth::model {
namespace {

constexpr std::string_view kBytes = "application/octet-stream";

class EntryReader : public rt::Reader {
 public:
  explicit EntryReader(TarReader& tar) : tar_(tar) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    co_return co_await tar_.read(op, into);
  }

 private:
  TarReader& tar_;
};

// The entry that the archive stands at, once: a stream cannot be asked again.
class EntryFetcher : public content::Fetcher {
 public:
  EntryFetcher(TarReader& tar, std::uint64_t size) : tar_(tar), size_(size) {}
  rt::Task<Result<content::Source>> fetch(rt::Op&, oci::Descriptor blob,
                                          content::ByteRange) override {
    if (spent_)
      co_return fail(Code::kUnavailable, "the archive holds {} only once", blob.digest.string());
    spent_ = true;
    content::Source source;
    source.size = size_;
    source.reader = std::make_unique<EntryReader>(tar_);
    co_return source;
  }

 private:
  TarReader& tar_;
  std::uint64_t size_;
  bool spent_ = false;
};

class Importer {
 public:
  Importer(rt::Loop& loop, content::Storage& to, content::Progress& progress)
      : loop_(loop), to_(to), progress_(progress) {}

  rt::Task<Result<std::vector<ImportedModel>>> run(rt::Op& op, rt::Reader& in);

 private:
  rt::Task<Status> take(rt::Op& op, TarReader& tar, TarEntry entry);
  rt::Task<Status> take_blob(rt::Op& op, TarReader& tar, std::string name, std::uint64_t size);
  rt::Task<Result<std::vector<ImportedModel>>> finish(rt::Op& op);
  rt::Task<Status> keep(rt::Op& op, oci::Descriptor root);

  rt::Loop& loop_;
  content::Storage& to_;
  content::Progress& progress_;
  std::map<std::string, std::string> documents_;
};

rt::Task<Status> Importer::take_blob(rt::Op& op, TarReader& tar, std::string name,
                                     std::uint64_t size) {
  std::string text = name.substr(std::string_view("blobs/").size());
  if (const std::size_t slash = text.find('/'); slash != std::string::npos) text[slash] = ':';
  auto digest = oci::Digest::parse(text);
  if (!digest)
    co_return fail(Code::kCorrupt, "the archive has the blob {}, whose name is no digest",
                   printable(name));
  EntryFetcher entry(tar, size);
  co_return co_await to_.put(
      op, {.media_type = std::string(kBytes), .digest = *digest, .size = size}, entry, progress_);
}

rt::Task<Status> Importer::take(rt::Op& op, TarReader& tar, TarEntry entry) {
  std::string name = entry.name;
  while (name.starts_with("./")) name.erase(0, 2);
  // Docker Model Runner's own tar may hold manifests by digest as well.
  const bool blob = name.starts_with("blobs/") && !name.ends_with('/');
  if (blob && entry.regular) co_return co_await take_blob(op, tar, std::move(name), entry.size);
  if (blob && name.find('/', 6) != std::string::npos) {
    co_return fail(Code::kCorrupt, "the archive has {} as something else than a file",
                   printable(name));
  }
  if (entry.regular && (name == "index.json" || name == "manifest.json" || name == "oci-layout")) {
    CO_TRY(documents_[name], co_await tar.read_all(op, oci::kManifestBytes));
  }
  co_return Status();
}

rt::Task<Result<std::vector<ImportedModel>>> Importer::run(rt::Op& op, rt::Reader& in) {
  TarReader tar(in);
  for (;;) {
    CO_TRY(std::optional<TarEntry> entry, co_await tar.next(op));
    if (!entry) break;
    CO_TRY_OK(co_await take(op, tar, std::move(*entry)));
    BERTH_FAILPOINT("model.import.after_entry");
  }
  co_return co_await finish(op);
}

// Blobs came as bytes of no known kind; what is a manifest is now told so, children first.
rt::Task<Status> Importer::keep(rt::Op& op, oci::Descriptor root) {
  CO_TRY(const std::string bytes,
         co_await content::read_small(op, to_, root, oci::kMaxManifestBytes));
  if (oci::media::is_index(root.media_type)) {
    CO_TRY(const oci::Index index, oci::parse_index(bytes, root.media_type));
    for (const oci::Descriptor& child : index.manifests) {
      if (!oci::media::is_manifest(child.media_type)) continue;
      CO_TRY(const bool here, co_await to_.has(op, {.media_type = std::string(kBytes),
                                                    .digest = child.digest,
                                                    .size = child.size}));
      if (here) CO_TRY_OK(co_await keep(op, child));
    }
  } else {
    CO_TRY(const oci::Manifest manifest, oci::parse_manifest(bytes, root.media_type));
    CO_TRY_OK(check_is_model(manifest));
  }
  content::BytesFetcher fetcher(bytes);
  BERTH_FAILPOINT("model.import.before_manifest");
  co_return co_await to_.put(op, root, fetcher, progress_);
}

rt::Task<Result<std::vector<ImportedModel>>> Importer::finish(rt::Op& op) {
  std::vector<ImportedModel> models;
  if (const auto index = documents_.find("index.json"); index != documents_.end()) {
    CO_TRY(const auto entries, read_layout_index(index->second));
    for (const LayoutEntry& entry : entries) models.push_back({entry.manifest, entry.names});
    for (const ImportedModel& model : models) CO_TRY_OK(co_await keep(op, model.manifest));
  } else if (const auto manifest = documents_.find("manifest.json"); manifest != documents_.end()) {
    CO_TRY(const oci::Descriptor root, describe_raw_manifest(manifest->second));
    CO_TRY(const oci::Manifest parsed, oci::parse_manifest(manifest->second, root.media_type));
    CO_TRY_OK(check_is_model(parsed));
    content::BytesFetcher fetcher(manifest->second);
    CO_TRY_OK(co_await to_.put(op, root, fetcher, progress_));
    models.push_back({root, {}});
  } else {
    co_return fail(Code::kCorrupt,
                   "the archive holds no model: it has neither an index.json nor a manifest.json");
  }
  if (models.empty())
    co_return fail(Code::kCorrupt, "the archive holds no model: its index.json names none");
  // A manifest alone proves little: its config must be that of a model as well.
  for (const ImportedModel& model : models) {
    CO_TRY([[maybe_unused]] const Loaded loaded,
           co_await load_model(op, loop_, to_, model.manifest));
  }
  co_return models;
}

}  // namespace

rt::Task<Result<std::vector<ImportedModel>>> import_archive(rt::Op& op, rt::Loop& loop,
                                                            rt::Reader& tar, content::Storage& to,
                                                            content::Progress& progress) {
  Importer importer(loop, to, progress);
  co_return co_await importer.run(op, tar);
}

}  // namespace berth::model
