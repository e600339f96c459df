#include "model/layout_index.h"

#include <algorithm>

#include "base/text.h"
#include "oci/media_types.h"

namespace berth::model {
namespace {

// The whole name if the writer gave one. What the layout's own annotation holds is often a bare tag
// ("latest"), which names no model.
std::string name_of(const oci::Descriptor& entry) {
  std::string name = entry.annotation("io.containerd.image.name");
  if (name.empty()) name = entry.annotation(oci::annotation::kRefName);
  return name.find_first_of("/:") == std::string::npos ? "" : name;
}

}  // namespace

Result<std::vector<LayoutEntry>> read_layout_index(std::string_view text) {
  auto index = oci::parse_index(text, oci::media::kIndex);
  if (!index) return fail(Code::kCorrupt, "index.json: {}", index.error().message());
  std::vector<LayoutEntry> entries;
  for (const oci::Descriptor& manifest : index->manifests) {
    if (!oci::media::is_manifest(manifest.media_type) && !oci::media::is_index(manifest.media_type))
      continue;
    const auto same = [&](const LayoutEntry& entry) {
      return entry.manifest.digest == manifest.digest;
    };
    auto known = std::ranges::find_if(entries, same);
    if (known == entries.end()) {
      entries.push_back(
          {{.media_type = manifest.media_type, .digest = manifest.digest, .size = manifest.size},
           {}});
      known = entries.end() - 1;
    }
    if (std::string name = name_of(manifest); !name.empty())
      known->names.push_back(std::move(name));
  }
  return entries;
}

Result<oci::Descriptor> describe_raw_manifest(std::string_view text) {
  TRY(const json::Value value, json::parse(text, "manifest.json"));
  if (value.is_array()) {
    return fail(Code::kUnsupported,
                "this is an archive of docker save, which holds container images and no model");
  }
  TRY(const std::string type,
      json::View(value, "manifest.json").string_or("mediaType", oci::media::kManifest));
  if (!oci::media::is_manifest(type)) {
    return fail(Code::kUnsupported, "manifest.json has the type {}, which is no manifest",
                printable(type, 100));
  }
  return oci::describe(text, type);
}

}  // namespace berth::model
