#include <algorithm>

#include "oci/media_types.h"
#include "remote/field.h"
#include "remote/manifest_type.h"
#include "remote/repository_state.h"

namespace berth::remote {
namespace {

constexpr std::size_t kMaxReferrers = 10'000;

// distribution-spec "Referrers tag schema": "sha256-<hex>".
std::string fallback_tag_of(const oci::Digest& subject) {
  return fmt::format("{}-{}", subject.algorithm_name().substr(0, 32), subject.hex().substr(0, 64));
}

// A registry without the API answers in one of these ways.
bool says_no_api(const Error& error) {
  return error.code() == Code::kNotFound || error.code() == Code::kNotAllowed ||
         error.code() == Code::kInvalid;
}

Status add_referrers(std::vector<oci::Descriptor>& found, const std::string& body,
                     const std::string& doing) {
  auto index = oci::parse_index(body, oci::media::kIndex);
  if (!index) return std::unexpected(std::move(index.error()).with_context(doing));
  std::ranges::move(index->manifests, std::back_inserter(found));
  if (found.size() > kMaxReferrers)
    return fail(Code::kTooLarge, "{}: there are more than {}", doing, kMaxReferrers);
  return {};
}

void keep_type(std::vector<oci::Descriptor>& found, const std::string& artifact_type) {
  if (artifact_type.empty()) return;
  std::erase_if(found, [&](const oci::Descriptor& referrer) {
    return referrer.artifact_type != artifact_type;
  });
}

// What a referrers list says of a manifest: its type is its own or else its config's (facts/oci.md
// A2).
json::Value entry_of(const oci::Descriptor& manifest, const json::View& body) {
  oci::Descriptor entry = manifest;
  entry.annotations.clear();
  entry.artifact_type = body.string_or("artifactType", "").value_or("");
  const auto config = body.find("config");
  if (entry.artifact_type.empty() && config)
    entry.artifact_type = config->string_or("mediaType", "").value_or("");
  json::Value value = oci::to_json(entry);
  const auto annotations = body.find("annotations");
  if (annotations && annotations->value().is_object())
    value.as_object()["annotations"] = annotations->value();
  return value;
}

json::Object empty_index() {
  json::Object index;
  index["schemaVersion"] = 2;
  index["mediaType"] = oci::media::kIndex;
  index["manifests"] = json::Array();
  return index;
}

// The index with one entry more, other entries untouched; nullopt when it is there already. Empty
// text: no index yet.
Result<std::optional<std::string>> with_entry(const std::string& index, const json::Value& entry,
                                              const std::string& tag) {
  json::Value value = empty_index();
  if (!index.empty()) {
    TRY(value, json::parse(index, tag));
  }
  json::Value* list = value.is_object() ? value.as_object().if_contains("manifests") : nullptr;
  if (list == nullptr || !list->is_array())
    return fail(Code::kCorrupt, "the tag {} should list referrers and holds something else", tag);
  const std::string digest = json::View(entry, tag).string("digest").value_or("");
  for (const json::Value& other : list->as_array()) {
    if (json::View(other, tag).string_or("digest", "").value_or("") == digest) return std::nullopt;
  }
  list->as_array().push_back(entry);
  return json::serialize(value);
}

// The subject of a manifest or index, when it has one.
Result<std::optional<oci::Descriptor>> subject_of(const json::View& body) {
  const auto subject = body.find("subject");
  if (!subject) return std::nullopt;
  TRY(oci::Descriptor descriptor, oci::parse_descriptor(*subject));
  return descriptor;
}

}  // namespace

Task<Result<std::vector<oci::Descriptor>>> Repository::referrers(rt::Op& op, oci::Digest subject,
                                                                 std::string artifact_type) {
  const std::string doing =
      "cannot list what refers to " + shown(state_->full_name(), subject.string());
  auto found = co_await state_->referrers_by_api(op, subject, artifact_type, doing);
  if (!found && says_no_api(found.error()))
    found = co_await state_->referrers_by_tag(op, subject, doing);
  if (found) keep_type(*found, artifact_type);
  co_return found;
}

Task<Result<std::vector<oci::Descriptor>>> Repository::State::referrers_by_api(
    rt::Op& op, oci::Digest subject, std::string artifact_type, std::string doing) {
  Call get = call(doing, "GET", name + "/referrers/" + subject.string(), "pull");
  if (!artifact_type.empty()) get.url.query = "artifactType=" + http::percent_encode(artifact_type);
  std::vector<oci::Descriptor> found;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    CO_TRY(Page page, co_await read_page(op, origin(), get));
    // A web page with status 200 is what some proxies give for paths that they do not know.
    if (media_type(page.headers) != oci::media::kIndex)
      co_return fail(Code::kNotFound, "{}: no referrers API", doing);
    CO_TRY_OK(add_referrers(found, page.body, doing));
    if (!page.next) co_return found;
    get.url = std::move(*page.next);
  }
  co_return fail(Code::kTooLarge, "{}: the list has more than {} pages", doing, kMaxPages);
}

Task<Result<std::vector<oci::Descriptor>>> Repository::State::referrers_by_tag(rt::Op& op,
                                                                               oci::Digest subject,
                                                                               std::string doing) {
  CO_TRY(const std::string index, co_await fallback_index(op, fallback_tag_of(subject), doing));
  std::vector<oci::Descriptor> found;
  if (!index.empty()) CO_TRY_OK(add_referrers(found, index, doing));
  co_return found;
}

Task<Result<std::string>> Repository::State::fallback_index(rt::Op& op, std::string tag,
                                                            std::string doing) {
  Call get = call(doing, "GET", name + "/manifests/" + tag, "pull");
  get.headers.set("Accept", oci::media::kIndex);
  auto page = co_await read_page(op, origin(), std::move(get));
  if (page) co_return std::move(page->body);
  if (page.error().code() == Code::kNotFound) co_return std::string();
  co_return std::unexpected(std::move(page.error()));
}

Task<Status> Repository::State::add_to_fallback_tag(rt::Op& op, oci::Descriptor manifest,
                                                    std::string bytes) {
  const std::string doing =
      "cannot record what " + shown(full_name(), manifest.digest.string()) + " refers to";
  CO_TRY(const json::Value value,
         json::parse(bytes, "manifest", {.bytes = oci::kMaxManifestBytes}));
  const json::View body(value, "manifest");
  CO_TRY(const auto subject, subject_of(body));
  if (!subject) co_return Status();
  const std::string tag = fallback_tag_of(subject->digest);
  // Of this process; two processes at once can still lose an entry, which the specification knows
  // and accepts.
  CO_TRY(const auto permit, co_await fallback_tag.acquire(op));
  CO_TRY(const std::string before, co_await fallback_index(op, tag, doing));
  CO_TRY(const auto after, with_entry(before, entry_of(manifest, body), tag));
  if (!after) co_return Status();
  const oci::Descriptor index = oci::describe(*after, oci::media::kIndex);
  CO_TRY_OK(co_await put_manifest(op, tag, index, *after, doing));
  co_return Status();
}

}  // namespace berth::remote
