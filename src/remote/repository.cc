#include "oci/media_types.h"
#include "oci/reference.h"
#include "remote/field.h"
#include "remote/gunzip.h"
#include "remote/manifest_type.h"
#include "remote/repository_state.h"

namespace berth::remote {
namespace {

namespace media = oci::media;

constexpr std::size_t kCachedManifests = 8;

bool is_manifest_type(std::string_view type) {
  return media::is_manifest(type) || media::is_index(type);
}

// What goes behind /manifests/. Checked again here: it becomes part of a URL.
Result<std::string> path_of(const oci::Reference& reference) {
  if (reference.digest) return reference.digest->string();
  if (oci::is_tag(reference.tag)) return reference.tag;
  return fail(Code::kInvalid, "\"{}\" is no tag", printable(reference.tag, 200));
}

// The descriptor that a HEAD gives, when it says all and nothing is odd about it.
Result<std::optional<oci::Descriptor>> described(const http::Headers& headers,
                                                 const std::optional<oci::Digest>& expected,
                                                 const std::string& what, std::uint64_t most) {
  const auto digest = content_digest(headers);
  const auto size = content_length(headers);
  const std::string type = media_type(headers);
  if (!digest || !size || !is_manifest_type(type)) return std::nullopt;
  if (expected && digest->algorithm() != expected->algorithm()) return std::nullopt;
  if (expected && *digest != *expected) {
    return fail(Code::kDigestMismatch, "{} was asked for and the registry offers {}", what,
                digest->string());
  }
  if (*size > most) {
    return fail(Code::kTooLarge, "the manifest of {} is {}, more than the {} allowed", what,
                format_size(*size), format_size(most));
  }
  return oci::Descriptor{.media_type = type, .digest = *digest, .size = *size};
}

// HEAD is not everywhere what it should be; a GET tells more.
bool wants_get(int status) { return status == 400 || status == 405 || status == 501; }

}  // namespace

const std::string* ManifestCache::find(const oci::Digest& digest) const {
  for (const auto& [kept, bytes] : kept_) {
    if (kept == digest) return &bytes;
  }
  return nullptr;
}

void ManifestCache::keep(const oci::Digest& digest, std::string bytes) {
  if (find(digest) != nullptr) return;
  if (kept_.size() == kCachedManifests) kept_.pop_front();
  kept_.emplace_back(digest, std::move(bytes));
}

Repository::Repository(std::shared_ptr<RegistryCore> core, std::string name)
    : state_(std::make_unique<State>(std::move(core), std::move(name))) {}
Repository::~Repository() = default;

std::string shown(const std::string& repository, const std::string& reference) {
  return repository + (reference.contains(':') ? "@" : ":") + reference;
}

const std::string& Repository::name() const { return state_->name; }

Call Repository::State::call(std::string doing, std::string method, std::string path,
                             std::string_view actions) {
  Call call{.doing = std::move(doing), .method = std::move(method), .url = origin().url(path)};
  call.repository = name;
  call.scopes = ScopeSet::repository(name, actions);
  call.on_wait = manner.on_wait;
  return call;
}

void Repository::State::pass_on_warnings(const http::Headers& headers) {
  if (!manner.on_warning) return;
  for (const std::string& warning : warnings(headers)) {
    if (told.insert(warning).second)
      manner.on_warning(fmt::format("{} warns: {}", core->name(), warning));
  }
}

// --- reading manifests ---

Task<Result<oci::Descriptor>> Repository::resolve(rt::Op& op, oci::Reference reference) {
  CO_TRY(const std::string path, path_of(reference));
  const std::string what = shown(state_->full_name(), path);
  const std::string doing = "cannot resolve " + what;
  RegistryCore::ReadCall head{.doing = doing,
                              .method = "HEAD",
                              .path = state_->name + "/manifests/" + path,
                              .repository = state_->name,
                              .on_wait = state_->manner.on_wait};
  head.headers.set("Accept", kManifestTypes);
  CO_TRY(auto read, co_await state_->core->read(op, std::move(head)));
  const int status = read.answer.status();
  if (status != 200 && !wants_get(status)) {
    co_return std::unexpected(co_await read.endpoint->error(op, doing, std::move(read.answer)));
  }
  if (status == 200) {
    state_->pass_on_warnings(read.answer.response.headers);
    CO_TRY(auto descriptor, described(read.answer.response.headers, reference.digest, what,
                                      state_->core->options().max_manifest_bytes));
    if (descriptor) co_return std::move(*descriptor);
  }
  CO_TRY(ManifestBytes manifest, co_await state_->get_manifest(op, path, reference.digest, doing));
  co_return std::move(manifest.descriptor);
}

Task<Result<ManifestBytes>> Repository::State::get_manifest(rt::Op& op, std::string reference,
                                                            std::optional<oci::Digest> expected,
                                                            std::string doing) {
  RegistryCore::ReadCall get{.doing = doing,
                             .path = name + "/manifests/" + reference,
                             .repository = name,
                             .on_wait = manner.on_wait};
  get.headers.set("Accept", kManifestTypes);
  get.headers.set("Accept-Encoding", "identity");
  CO_TRY(auto read, co_await core->read(op, std::move(get)));
  if (read.answer.status() != 200)
    co_return std::unexpected(co_await read.endpoint->error(op, doing, std::move(read.answer)));
  const http::Headers headers = read.answer.response.headers;
  pass_on_warnings(headers);
  const std::uint64_t most = core->options().max_manifest_bytes;
  CO_TRY(auto reader,
         in_context(decoded(std::move(read.answer.response), most, "the manifest"), doing));
  auto body = co_await http::read_all(op, http::Body(std::move(reader), std::nullopt), most);
  if (!body) co_return std::unexpected(std::move(body.error()).with_context(doing));
  const std::string what = shown(full_name(), reference);
  CO_TRY(
      ManifestBytes manifest, co_await rt::blocking(core->loop(), [&]() -> Result<ManifestBytes> {
        const auto claimed = content_digest(headers);
        const auto& asked = expected ? expected : claimed;
        const auto digest = oci::Digest::of(
            as_bytes(*body), asked ? asked->algorithm() : crypto::Algorithm::kSha256);
        if (asked && digest != *asked) {
          return fail(Code::kDigestMismatch, "{}: the manifest that came is {} and should be {}",
                      doing, digest.string(), asked->string());
        }
        TRY(std::string type, manifest_type(media_type(headers), *body, what));
        return ManifestBytes{
            .descriptor = {.media_type = std::move(type), .digest = digest, .size = body->size()},
            .bytes = std::move(*body)};
      }));
  manifests.keep(manifest.descriptor.digest, manifest.bytes);
  co_return manifest;
}

Task<Result<content::Source>> Repository::fetch(rt::Op& op, oci::Descriptor blob,
                                                content::ByteRange range) {
  if (!is_manifest_type(blob.media_type))
    co_return co_await state_->fetch_blob(op, std::move(blob), range);
  CO_TRY(std::string bytes, co_await state_->manifest_bytes(op, blob));
  content::BytesFetcher fetcher(std::move(bytes));
  co_return co_await fetcher.fetch(op, blob, range);
}

Task<Result<std::string>> Repository::State::manifest_bytes(rt::Op& op, oci::Descriptor wanted) {
  if (const std::string* kept = manifests.find(wanted.digest)) co_return *kept;
  const std::string doing =
      "cannot fetch the manifest " + shown(full_name(), wanted.digest.string());
  CO_TRY(ManifestBytes manifest,
         co_await get_manifest(op, wanted.digest.string(), wanted.digest, doing));
  if (manifest.descriptor.media_type != wanted.media_type) {
    co_return fail(Code::kCorrupt, "{}: it is {} and should be {}", doing,
                   manifest.descriptor.media_type, printable(wanted.media_type, 100));
  }
  co_return std::move(manifest.bytes);
}

// --- writing manifests ---

Task<Result<http::Headers>> Repository::State::put_manifest(rt::Op& op, std::string reference,
                                                            oci::Descriptor manifest,
                                                            std::string bytes, std::string doing) {
  TextBody body(bytes);
  Call put = call(doing, "PUT", name + "/manifests/" + reference, "pull,push");
  put.headers.set("Content-Type", manifest.media_type);
  put.body = &body;
  CO_TRY(Answer answer, co_await origin().send(op, std::move(put)));
  if (answer.status() / 100 != 2) {
    const bool may_miss = answer.status() == 400 || answer.status() == 404;
    Error refused = co_await origin().error(op, doing, std::move(answer));
    if (may_miss) CO_TRY_OK(co_await check_children(op, manifest.media_type, bytes, doing));
    co_return std::unexpected(std::move(refused));
  }
  http::Headers headers = answer.response.headers;
  pass_on_warnings(headers);
  co_await drain(op, std::move(answer.response));
  const auto stored = content_digest(headers);
  if (stored && stored->algorithm() == manifest.digest.algorithm() && *stored != manifest.digest) {
    co_return fail(Code::kDigestMismatch, "{}: {} stored {} when {} was sent", doing, core->name(),
                   stored->string(), manifest.digest.string());
  }
  manifests.keep(manifest.digest, std::move(bytes));
  co_return headers;
}

// A manifest was refused: fails when that is because the registry lost what it had acknowledged.
Task<Status> Repository::State::check_children(rt::Op& op, std::string media_type,
                                               std::string bytes, std::string doing) {
  const auto children = oci::children(bytes, media_type);
  if (!children) co_return Status();
  for (const oci::Descriptor& child : *children) {
    if (!acknowledged.contains(child.digest)) continue;
    CO_TRY_OK(co_await check_stored(op, "/blobs/", child, doing));
  }
  co_return Status();
}

// An acknowledgement is a claim: the registry is asked for what it acknowledged.
Task<Status> Repository::State::check_stored(rt::Op& op, std::string kind, oci::Descriptor what,
                                             std::string doing) {
  Call head = call(doing, "HEAD", name + kind + what.digest.string(), "pull,push");
  if (kind == "/manifests/") head.headers.set("Accept", what.media_type);
  CO_TRY(const Answer answer, co_await origin().send(op, std::move(head)));
  if (answer.status() != 404) co_return Status();
  co_return fail(Code::kUnavailable, "{}: {} acknowledged {} and does not have it; push again",
                 doing, core->name(), what.digest.string());
}

Task<Status> Repository::put(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                             content::Progress& progress) {
  if (!is_manifest_type(blob.media_type))
    co_return co_await state_->put_blob(op, std::move(blob), from, progress);
  CO_TRY(std::string bytes, co_await content::read_small(op, from, blob, oci::kMaxManifestBytes));
  const std::string doing =
      "cannot push the manifest " + shown(state_->full_name(), blob.digest.string());
  CO_TRY(const http::Headers headers,
         co_await state_->put_manifest(op, blob.digest.string(), blob, bytes, doing));
  if (headers.get("OCI-Subject")) co_return Status();
  co_return co_await state_->add_to_fallback_tag(op, std::move(blob), std::move(bytes));
}

Task<Status> Repository::tag(rt::Op& op, oci::Descriptor manifest, oci::Reference reference) {
  if (!oci::is_tag(reference.tag))
    co_return fail(Code::kInvalid, "\"{}\" is no tag", printable(reference.tag, 200));
  const std::string doing = "cannot tag " + shown(state_->full_name(), reference.tag);
  auto bytes = co_await state_->manifest_bytes(op, manifest);
  if (!bytes) co_return std::unexpected(std::move(bytes.error()).with_context(doing));
  CO_TRY_OK(co_await state_->put_manifest(op, reference.tag, manifest, std::move(*bytes), doing));
  co_return co_await state_->check_stored(op, "/manifests/", manifest, doing);
}

}  // namespace berth::remote
