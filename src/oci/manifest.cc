#include "oci/manifest.h"

#include "oci/media_types.h"

namespace berth::oci {
namespace {

constexpr std::size_t kMaxAnnotations = 10'000;

Result<Annotations> parse_annotations(const json::View& view) {
  Annotations annotations;
  const auto member = view.find("annotations");
  if (!member) return annotations;
  TRY(const auto entries, member->object());
  if (entries.size() > kMaxAnnotations)
    return fail(Code::kTooLarge, "{} has too many annotations", view.path());
  for (const auto& [key, value] : entries) {
    TRY(std::string text, value.string());
    annotations.emplace(key, std::move(text));
  }
  return annotations;
}

Result<std::optional<Platform>> parse_platform(const json::View& view) {
  const auto member = view.find("platform");
  if (!member) return std::nullopt;
  Platform platform;
  TRY(platform.os, member->string_or("os", ""));
  TRY(platform.architecture, member->string_or("architecture", ""));
  TRY(platform.variant, member->string_or("variant", ""));
  return platform;
}

Result<std::optional<Descriptor>> parse_subject(const json::View& view) {
  const auto member = view.find("subject");
  if (!member) return std::nullopt;
  TRY(Descriptor subject, parse_descriptor(*member));
  return subject;
}

Result<std::vector<Descriptor>> parse_descriptors(const json::View& view, std::string_view key) {
  TRY(const auto items, view.array_or_empty(key));
  if (items.size() > kMaxLayers) {
    return fail(Code::kTooLarge, "{} names {} {}, more than the {} allowed", view.path(),
                items.size(), key, kMaxLayers);
  }
  std::vector<Descriptor> descriptors;
  descriptors.reserve(items.size());
  for (const json::View& item : items) {
    TRY(Descriptor descriptor, parse_descriptor(item));
    descriptors.push_back(std::move(descriptor));
  }
  return descriptors;
}

// The type a document is read as: what it says itself must agree with what its descriptor or
// registry claimed.
Result<std::string> agreed_type(const json::View& view, std::string_view claimed,
                                bool (*accepts)(std::string_view)) {
  TRY(std::string own, view.string_or("mediaType", claimed));
  if (!accepts(own)) {
    return fail(Code::kInvalid, "{} has the media type \"{}\", which is not expected here",
                view.path(), printable(own, 80));
  }
  if (!claimed.empty() && own != claimed) {
    return fail(Code::kInvalid, "{} says it is \"{}\" but was announced as \"{}\"", view.path(),
                printable(own, 80), printable(claimed, 80));
  }
  return own;
}

Result<json::Value> parse_document(std::string_view bytes, std::string_view what) {
  TRY(json::Value value, json::parse(bytes, what, {.bytes = kMaxManifestBytes, .depth = 32}));
  TRY(const std::uint64_t version, json::View(value, std::string(what)).u64_or("schemaVersion", 0));
  if (version != 2)
    return fail(Code::kInvalid, "{} has schemaVersion {}, only 2 is known", what, version);
  return value;
}

json::Object annotations_json(const Annotations& annotations) {
  json::Object object;
  for (const auto& [key, value] : annotations) object[key] = value;
  return object;
}

void add_common_tail(json::Object& object, const std::optional<Descriptor>& subject,
                     const Annotations& annotations) {
  if (subject) object["subject"] = to_json(*subject);
  if (!annotations.empty()) object["annotations"] = annotations_json(annotations);
}

json::Object document_head(const std::string& media_type, const std::string& artifact_type) {
  json::Object object;
  object["schemaVersion"] = 2;
  object["mediaType"] = media_type;
  if (!artifact_type.empty()) object["artifactType"] = artifact_type;
  return object;
}

json::Array descriptors_json(const std::vector<Descriptor>& descriptors) {
  json::Array array;
  for (const Descriptor& descriptor : descriptors) array.push_back(to_json(descriptor));
  return array;
}

}  // namespace

std::string Descriptor::annotation(std::string_view key) const {
  const auto at = annotations.find(std::string(key));
  return at == annotations.end() ? "" : at->second;
}

Result<Descriptor> parse_descriptor(const json::View& view) {
  Descriptor descriptor;
  TRY(descriptor.media_type, view.string("mediaType"));
  TRY(const std::string digest, view.string("digest"));
  TRY(descriptor.digest, in_context(Digest::parse(digest), view.path()));
  TRY(descriptor.size, view.u64("size"));
  if (descriptor.size > std::uint64_t{1} << 62)
    return fail(Code::kInvalid, "{}.size is not a possible size", view.path());
  TRY(descriptor.annotations, parse_annotations(view));
  TRY(descriptor.artifact_type, view.string_or("artifactType", ""));
  TRY(descriptor.platform, parse_platform(view));
  return descriptor;
}

Result<Manifest> parse_manifest(std::string_view bytes, std::string_view media_type) {
  TRY(const json::Value value, parse_document(bytes, "manifest"));
  const json::View view(value, "manifest");
  Manifest manifest;
  TRY(manifest.media_type, agreed_type(view, media_type, media::is_manifest));
  TRY(manifest.artifact_type, view.string_or("artifactType", ""));
  TRY(const json::View config, view.at("config"));
  TRY(manifest.config, parse_descriptor(config));
  TRY(manifest.layers, parse_descriptors(view, "layers"));
  TRY(manifest.subject, parse_subject(view));
  TRY(manifest.annotations, parse_annotations(view));
  return manifest;
}

Result<Index> parse_index(std::string_view bytes, std::string_view media_type) {
  TRY(const json::Value value, parse_document(bytes, "index"));
  const json::View view(value, "index");
  Index index;
  TRY(index.media_type, agreed_type(view, media_type, media::is_index));
  TRY(index.artifact_type, view.string_or("artifactType", ""));
  TRY(index.manifests, parse_descriptors(view, "manifests"));
  TRY(index.subject, parse_subject(view));
  TRY(index.annotations, parse_annotations(view));
  return index;
}

json::Value to_json(const Descriptor& descriptor) {
  json::Object object;
  object["mediaType"] = descriptor.media_type;
  object["digest"] = descriptor.digest.string();
  object["size"] = descriptor.size;
  if (!descriptor.annotations.empty())
    object["annotations"] = annotations_json(descriptor.annotations);
  if (!descriptor.artifact_type.empty()) object["artifactType"] = descriptor.artifact_type;
  if (descriptor.platform) {
    json::Object platform;
    platform["architecture"] = descriptor.platform->architecture;
    platform["os"] = descriptor.platform->os;
    if (!descriptor.platform->variant.empty()) platform["variant"] = descriptor.platform->variant;
    object["platform"] = std::move(platform);
  }
  return object;
}

std::string serialize(const Manifest& manifest) {
  json::Object object = document_head(manifest.media_type, manifest.artifact_type);
  object["config"] = to_json(manifest.config);
  object["layers"] = descriptors_json(manifest.layers);
  add_common_tail(object, manifest.subject, manifest.annotations);
  return json::serialize(object);
}

std::string serialize(const Index& index) {
  json::Object object = document_head(index.media_type, index.artifact_type);
  object["manifests"] = descriptors_json(index.manifests);
  add_common_tail(object, index.subject, index.annotations);
  return json::serialize(object);
}

Result<std::vector<Descriptor>> children(std::string_view bytes, std::string_view media_type) {
  if (media::is_manifest(media_type)) {
    TRY(Manifest manifest, parse_manifest(bytes, media_type));
    std::vector<Descriptor> below = std::move(manifest.layers);
    below.insert(below.begin(), std::move(manifest.config));
    return below;
  }
  if (media::is_index(media_type)) {
    TRY(Index index, parse_index(bytes, media_type));
    return std::move(index.manifests);
  }
  return std::vector<Descriptor>();
}

Descriptor describe(std::string_view bytes, std::string_view media_type) {
  return {.media_type = std::string(media_type),
          .digest = Digest::of(as_bytes(bytes)),
          .size = bytes.size()};
}

namespace {

bool is_platform_word(std::string_view word) {
  return !word.empty() && word.size() <= 32 && std::ranges::all_of(word, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

std::string shown(const Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return printable(text, 100);
}

}  // namespace

Result<Platform> parse_platform(std::string_view text) {
  const std::vector<std::string> part = split(text, '/');
  if ((part.size() == 2 || part.size() == 3) && std::ranges::all_of(part, is_platform_word)) {
    return Platform{
        .os = part[0], .architecture = part[1], .variant = part.size() == 3 ? part[2] : ""};
  }
  return fail(Code::kInvalid, "\"{}\" is no platform: it has the form linux/amd64",
              printable(text, 80));
}

Result<Descriptor> pick_platform(const Index& index, const Platform& wanted) {
  std::string there;
  for (const Descriptor& entry : index.manifests) {
    if (!entry.platform) continue;
    const Platform& has = *entry.platform;
    if (has.os == wanted.os && has.architecture == wanted.architecture &&
        (wanted.variant.empty() || has.variant == wanted.variant)) {
      return entry;
    }
    there += (there.empty() ? "" : ", ") + shown(has);
  }
  return fail(Code::kNotFound, "the index has nothing for {}; it has {}", shown(wanted),
              there.empty() ? "no platforms" : there);
}

}  // namespace berth::oci
