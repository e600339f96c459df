#include "registryd/reading.h"

#include "json/json.h"
#include "oci/media_types.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20;  // the route bounds it before

// Layers that stay where their `urls` say and are not pushed.
bool is_foreign(std::string_view media_type) {
  return media_type.find(".nondistributable.") != std::string_view::npos ||
         media_type.starts_with("application/vnd.docker.image.rootfs.foreign.");
}

Result<std::string> media_type_of(const json::View& view, std::string_view content_type) {
  TRY(const std::string own, view.string_or("mediaType", ""));
  const std::string said(trim(content_type.substr(0, content_type.find(';'))));
  if (!said.empty() && !own.empty() && said != own) {
    return fail(Code::kInvalid, "Content-Type says {}, but the manifest itself {}",
                printable(said, 100), printable(own, 100));
  }
  if (!said.empty()) return said;
  if (!own.empty()) return own;
  return std::string(view.find("manifests") ? oci::media::kIndex : oci::media::kManifest);
}

Status add_child(const json::View& view, std::vector<oci::Descriptor>& children) {
  TRY(oci::Descriptor child, oci::parse_descriptor(view));
  if (!is_foreign(child.media_type)) children.push_back(std::move(child));
  return {};
}

Status add_children(const json::View& view, std::string_view key,
                    std::vector<oci::Descriptor>& children) {
  TRY(const auto list, view.array_or_empty(key));
  if (list.size() > oci::kMaxLayers)
    return fail(Code::kInvalid, "more than {} {} in one manifest", oci::kMaxLayers, key);
  for (const json::View& item : list) TRY_OK(add_child(item, children));
  return {};
}

}  // namespace

Result<Reading> read_manifest(std::string_view bytes, std::string_view content_type) {
  TRY(const json::Value value, json::parse(bytes, "the manifest", {.bytes = kMostBytes}));
  const json::View view(value, "manifest");
  if (!value.is_object()) return fail(Code::kInvalid, "the manifest is not a JSON object");
  Reading reading;
  TRY(reading.media_type, media_type_of(view, content_type));
  TRY(reading.artifact_type, view.string_or("artifactType", ""));
  if (const auto config = view.find("config")) {
    TRY_OK(add_child(*config, reading.children));
    if (reading.artifact_type.empty()) {
      TRY(reading.artifact_type, config->string_or("mediaType", ""));
    }
  }
  TRY_OK(add_children(view, "layers", reading.children));
  TRY_OK(add_children(view, "manifests", reading.children));
  if (const auto subject = view.find("subject")) {
    TRY(const oci::Descriptor descriptor, oci::parse_descriptor(*subject));
    reading.subject = descriptor.digest;
  }
  if (const auto annotations = view.find("annotations"))
    reading.annotations = json::serialize(annotations->value());
  return reading;
}

std::string referrer_descriptor(const Reading& reading, const oci::Digest& digest,
                                std::uint64_t size) {
  json::Object descriptor;
  descriptor["mediaType"] = reading.media_type;
  descriptor["digest"] = digest.string();
  descriptor["size"] = size;
  if (!reading.artifact_type.empty()) descriptor["artifactType"] = reading.artifact_type;
  std::string text = json::serialize(descriptor);
  if (reading.annotations.empty()) return text;
  text.pop_back();
  return text + R"(,"annotations":)" + reading.annotations + "}";
}

}  // namespace berth::registryd
