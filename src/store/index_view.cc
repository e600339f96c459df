#include "store/index_view.h"

#include "base/failpoint.h"
#include "oci/media_types.h"
#include "store/models.h"

namespace berth::store {
namespace {

constexpr std::string_view kIndexFile = "index.json";
constexpr std::size_t kMaxIndex = 64 * 1024 * 1024;

Result<std::optional<oci::Descriptor>> described(Database& database, const oci::Digest& digest) {
  TRY(const auto row, find_row(database, digest));
  if (!row) return std::nullopt;
  return oci::Descriptor{.media_type = row->media_type, .digest = digest, .size = row->size};
}

// Only a full name is a reference here: others' short names ("latest") say nothing about where a
// model is from.
std::optional<oci::Reference> reference_of(const oci::Descriptor& blob) {
  const std::string name = blob.annotation(oci::annotation::kRefName);
  if (name.find('/') == std::string::npos) return std::nullopt;
  if (auto reference = oci::parse_reference(name)) return std::move(*reference);
  return std::nullopt;
}

}  // namespace

Result<std::vector<IndexEntry>> read_index_view(const Layout& layout) {
  TRY(const std::string text, layout.root().read_small(kIndexFile, kMaxIndex));
  TRY(const json::Value value, json::parse(text, kIndexFile, {.bytes = kMaxIndex}));
  TRY(const auto manifests, json::View(value, std::string(kIndexFile)).array_or_empty("manifests"));
  std::vector<IndexEntry> entries;
  for (const json::View& view : manifests) {
    TRY(oci::Descriptor blob, oci::parse_descriptor(view));
    auto reference = reference_of(blob);
    entries.push_back({.blob = std::move(blob), .reference = std::move(reference)});
  }
  return entries;
}

Result<std::string> make_index_view(Database& database) {
  oci::Index index{.media_type = std::string(oci::media::kIndex)};
  TRY(const auto models, list_models(database));
  TRY(const auto tags, list_tags(database));
  for (const TagRow& row : tags) {
    TRY(auto blob, described(database, row.target));
    if (!blob) continue;
    blob->annotations.emplace(oci::annotation::kRefName, row.reference.string());
    index.manifests.push_back(std::move(*blob));
  }
  for (const Record& model : models) {
    if (!model.tags.empty()) continue;
    TRY(auto blob, described(database, model.id));
    if (blob) index.manifests.push_back(std::move(*blob));
  }
  return oci::serialize(index);
}

Status write_index_view(const Layout& layout, const std::string& content) {
  const auto old = layout.root().read_small(kIndexFile, kMaxIndex);
  if (old && *old == content) return {};
  BERTH_FAILPOINT("store.index.before_write");
  return layout.root().replace(kIndexFile, content, 0644);
}

}  // namespace berth::store
