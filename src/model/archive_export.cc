#include <set>
#include <variant>

#include "base/text.h"
#include "model/archive.h"
#include "model/tar_reader.h"
#include "oci/media_types.h"

namespace berth::model {
namespace {

constexpr std::string_view kLayout = R"({"imageLayoutVersion":"1.0.0"})";
constexpr std::string_view kImageName = "io.containerd.image.name";
constexpr std::size_t kEndBytes = 1024;  // two blocks of zeros

using Segment = std::variant<std::string, oci::Descriptor>;

std::uint64_t size_of(const Segment& segment) {
  if (const auto* text = std::get_if<std::string>(&segment)) return text->size();
  return std::get<oci::Descriptor>(segment).size;
}

// The tar, segment after segment; a blob is opened when its turn comes.
class TarStream : public rt::Reader {
 public:
  TarStream(content::Fetcher& from, std::vector<Segment> segments)
      : from_(from), segments_(std::move(segments)) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    while (at_ < segments_.size()) {
      if (done_ == size_of(segments_[at_])) {
        advance();
        continue;
      }
      CO_TRY(const std::size_t count, co_await read_segment(op, into));
      done_ += count;
      co_return count;
    }
    co_return std::size_t{0};
  }

 private:
  void advance() {
    ++at_;
    done_ = 0;
    source_.reset();
  }

  rt::Task<Result<std::size_t>> read_segment(rt::Op& op, MutableBytes into) {
    if (const auto* text = std::get_if<std::string>(&segments_[at_])) {
      const std::size_t count = std::min<std::size_t>(into.size(), text->size() - done_);
      std::memcpy(into.data(), text->data() + done_, count);
      co_return count;
    }
    const auto& blob = std::get<oci::Descriptor>(segments_[at_]);
    if (!source_) {
      CO_TRY(source_, co_await from_.fetch(op, blob, {}));
    }
    const std::uint64_t left = blob.size - done_;
    CO_TRY(
        const std::size_t count,
        co_await source_->reader->read(op, into.first(std::min<std::uint64_t>(into.size(), left))));
    if (count == 0) {
      co_return fail(Code::kCorrupt, "the blob {} ends after {} of {} bytes", blob.digest.string(),
                     done_, blob.size);
    }
    co_return count;
  }

  content::Fetcher& from_;
  std::vector<Segment> segments_;
  std::size_t at_ = 0;
  std::uint64_t done_ = 0;
  std::optional<content::Source> source_;
};

std::string index_of(const Loaded& loaded, const std::vector<std::string>& names) {
  oci::Index index{.media_type = std::string(oci::media::kIndex)};
  oci::Descriptor entry{.media_type = loaded.manifest.media_type,
                        .digest = loaded.manifest.digest,
                        .size = loaded.manifest.size};
  if (names.empty()) index.manifests.push_back(entry);
  for (const std::string& name : names) {
    oci::Descriptor named = entry;
    const std::size_t colon = name.rfind(':');
    const bool tagged = colon != std::string::npos && name.find('/', colon) == std::string::npos;
    named.annotations[std::string(oci::annotation::kRefName)] =
        tagged ? name.substr(colon + 1) : name;
    named.annotations[std::string(kImageName)] = name;
    index.manifests.push_back(std::move(named));
  }
  return oci::serialize(index);
}

class TarBuilder {
 public:
  void folder(std::string_view name) { text_ += tar_header(name, std::nullopt); }
  void file(std::string_view name, std::string_view content) {
    text_ += tar_header(name, content.size());
    text_ += content;
    text_.append(tar_padding(content.size()), '\0');
  }
  void blob(const oci::Descriptor& blob) {
    if (!seen_.insert(blob.digest).second) return;
    text_ += tar_header("blobs/" + blob.digest.path(), blob.size);
    flush();
    segments_.emplace_back(blob);
    text_.append(tar_padding(blob.size), '\0');
  }
  std::vector<Segment> finish() {
    text_.append(kEndBytes, '\0');
    flush();
    return std::move(segments_);
  }

 private:
  void flush() {
    segments_.emplace_back(std::move(text_));
    text_.clear();
  }
  std::string text_;
  std::vector<Segment> segments_;
  std::set<oci::Digest> seen_;
};

}  // namespace

Result<Export> export_model(content::Fetcher& from, const Loaded& loaded,
                            const std::vector<std::string>& names) {
  TRY(const oci::Manifest manifest,
      oci::parse_manifest(loaded.manifest_bytes, loaded.manifest.media_type));
  TarBuilder tar;
  tar.file("oci-layout", kLayout);
  tar.file("index.json", index_of(loaded, names));
  tar.folder("blobs/");
  tar.folder("blobs/sha256/");
  tar.file("blobs/" + loaded.manifest.digest.path(), loaded.manifest_bytes);
  tar.blob(manifest.config);
  for (const oci::Descriptor& layer : manifest.layers) tar.blob(layer);
  // Docker Model Runner's load looks for this and skips what it does not know.
  tar.file("manifest.json", loaded.manifest_bytes);
  Export out;
  std::vector<Segment> segments = tar.finish();
  for (const Segment& segment : segments) out.size += size_of(segment);
  out.reader = std::make_unique<TarStream>(from, std::move(segments));
  return out;
}

}  // namespace berth::model
