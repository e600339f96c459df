// Manifests: end-3, end-7 and end-9.
#include "base/log.h"
#include "crypto/hash.h"
#include "oci/media_types.h"
#include "oci/reference.h"
#include "registryd/call.h"
#include "registryd/reading.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kMostTags = 100;  // in one request; the specification asks for 10

Response unknown(const Call& call) {
  return refuse(404, "MANIFEST_UNKNOWN",
                fmt::format("there is no manifest {} in {}", printable(call.place.reference, 150),
                            call.place.repository));
}

Response bad_reference(std::string_view text) {
  return refuse(400, "MANIFEST_INVALID",
                fmt::format("\"{}\" is neither a tag nor a digest", printable(text, 150)));
}

// A tag has no colon, a digest has one.
bool looks_like_digest(std::string_view reference) {
  return reference.find(':') != std::string_view::npos;
}

rt::Task<Result<std::shared_ptr<const depot::StoredManifest>>> look_up(rt::Op& op, Context& context,
                                                                       const Call& call) {
  const std::string& reference = call.place.reference;
  depot::Manifests& manifests = context.depot.manifests;
  if (looks_like_digest(reference)) {
    const auto digest = oci::Digest::parse(reference);
    if (!digest) co_return nullptr;
    co_return co_await manifests.find_manifest(op, call.place.repository, *digest);
  }
  if (!oci::is_tag(reference)) co_return nullptr;
  CO_TRY(const auto digest, co_await manifests.resolve(op, call.place.repository, reference));
  if (!digest) co_return nullptr;
  co_return co_await manifests.find_manifest(op, call.place.repository, *digest);
}

// Where the request wants the manifest to be: the tags and the digest that it names.
struct Wanted {
  std::vector<std::string> tags;
  std::optional<oci::Digest> digest;
};
std::expected<Wanted, Response> wanted_of(const Call& call) {
  Wanted wanted;
  const std::string& reference = call.place.reference;
  if (looks_like_digest(reference)) {
    auto digest = digest_of(reference);
    if (!digest) return std::unexpected(std::move(digest.error()));
    wanted.digest = std::move(*digest);
    wanted.tags = http::query_get_all(call.request.url.query, "tag");
  } else {
    wanted.tags.push_back(reference);
  }
  if (wanted.tags.size() > kMostTags) {
    return std::unexpected(
        refuse(414, "SIZE_INVALID", fmt::format("more than {} tags in one request", kMostTags)));
  }
  for (const std::string& tag : wanted.tags)
    if (!oci::is_tag(tag)) return std::unexpected(bad_reference(tag));
  return wanted;
}

Response not_for_ollama(const Call& call) {
  return refuse(404, "MANIFEST_UNKNOWN",
                fmt::format("{} is no model that Ollama can run: its weights are not one GGUF file",
                            printable(call.place.reference, 150)));
}

constexpr std::size_t kNamedInWarning = 3;

std::string warning_of(const std::vector<oci::Digest>& missing) {
  std::string names;
  for (std::size_t i = 0; i < missing.size() && i < kNamedInWarning; ++i)
    names += (i > 0 ? ", " : "") + missing[i].string();
  return fmt::format("299 - \"{} of what this manifest names is not in the repository: {}{}\"",
                     missing.size(), names, missing.size() > kNamedInWarning ? ", ..." : "");
}

constexpr std::size_t kMostWarnings = 3;

void warn(Response& response, const std::vector<std::string>& findings) {
  for (std::size_t i = 0; i < findings.size() && i < kMostWarnings; ++i)
    add_warning(response, findings[i]);
}

// Looks at a model; a refusal when it is not what it says and that is not let in.
rt::Task<Result<std::optional<Response>>> refused_model(rt::Op& op, Context& context,
                                                        atlas::Look& look) {
  if (context.atlas.check() != atlas::Check::kRefuse) co_return std::nullopt;
  CO_TRY_OK(co_await look.wait(op));
  const auto findings = look.findings();
  if (findings.empty()) co_return std::nullopt;
  co_return refuse(400, "MANIFEST_INVALID",
                   fmt::format("this model is not stored: {}", fmt::join(findings, "; ")));
}

// A tag that the push would move though its caller may only make new ones.
rt::Task<Result<std::optional<std::string>>> moved_tag(rt::Op& op, Context& context,
                                                       const Call& call,
                                                       const depot::PushedManifest& pushed) {
  if (call.caller.of(call.place.repository).allows(guard::Action::kMove)) co_return std::nullopt;
  for (const std::string& tag : pushed.tags) {
    CO_TRY(const auto now,
           co_await context.depot.manifests.resolve(op, call.place.repository, tag));
    if (now && *now != pushed.manifest.digest) co_return tag;
  }
  co_return std::nullopt;
}

Response may_not_move(std::string_view tag) {
  return refuse(403, "DENIED",
                fmt::format("the tag {} stands for another manifest, and you may not move tags "
                            "here: push under a new one",
                            tag));
}

// A pull does not fail because it could not be written down.
rt::Task<void> tell_pull(rt::Op& op, Context& context, const Call& call,
                         std::shared_ptr<const depot::StoredManifest> manifest) {
  const std::string& reference = call.place.reference;
  const Status noted = co_await context.depot.manifests.note_pull(
      op, call.place.repository, std::move(manifest),
      looks_like_digest(reference) ? std::string() : reference, origin_of(context, call));
  if (!noted && !op.cancelled())
    log::warning("a pull was not written down: {}", printable(noted.error().message()));
}

}  // namespace

rt::Task<Result<Response>> get_manifest(rt::Op& op, Context& context, Call call) {
  CO_TRY(auto manifest, co_await look_up(op, context, call));
  if (!manifest) co_return unknown(call);
  if (is_ollama(call.request) && manifest->media_type != oci::media::kDockerManifest) {
    CO_TRY(auto view, co_await context.atlas.for_ollama(op, call.place.repository, manifest));
    if (!view) co_return not_for_ollama(call);
    manifest = std::make_shared<const depot::StoredManifest>(std::move(*view));
  }
  Response response;
  response.headers.set("Content-Type", manifest->media_type);
  response.headers.set(kDigestHeader, manifest->digest.string());
  response.headers.set("ETag", etag_of(manifest->digest));
  if (!looks_like_digest(call.place.reference))
    warn_if_stale(response, context, call, call.place.reference);
  if (has_it(call.request, manifest->digest)) {
    response.status = 304;
  } else if (call.is_head()) {
    response.headers.set("Content-Length", fmt::format("{}", manifest->bytes.size()));
  } else {
    response.body = manifest->bytes;
    co_await tell_pull(op, context, call, std::move(manifest));
  }
  co_return response;
}

rt::Task<Result<Response>> put_manifest(rt::Op& op, Context& context, Call call) {
  auto wanted = wanted_of(call);
  if (!wanted) co_return std::move(wanted.error());
  auto bytes =
      co_await http::read_all(op, std::move(call.request.body), context.options.max_manifest);
  if (!bytes) co_return refuse(bytes.error(), "MANIFEST_UNKNOWN", "MANIFEST_INVALID");
  const auto algorithm = wanted->digest ? wanted->digest->algorithm() : crypto::Algorithm::kSha256;
  const oci::Digest digest = oci::Digest::of(as_bytes(*bytes), algorithm);
  if (wanted->digest && *wanted->digest != digest) {
    co_return refuse(400, "DIGEST_INVALID",
                     fmt::format("the manifest that came is {}, not {}", digest.string(),
                                 wanted->digest->string()));
  }
  const auto reading = read_manifest(*bytes, call.request.headers.get("Content-Type").value_or(""));
  if (!reading) co_return refuse(400, "MANIFEST_INVALID", reading.error().message());
  depot::PushedManifest pushed{.tags = wanted->tags,
                               .children = reading->children,
                               .subject = reading->subject,
                               .artifact_type = reading->artifact_type,
                               .referrer = referrer_descriptor(*reading, digest, bytes->size()),
                               .origin = origin_of(context, call)};
  pushed.manifest = {
      .digest = digest, .media_type = reading->media_type, .bytes = std::move(*bytes)};
  CO_TRY(const auto taken, co_await moved_tag(op, context, call, pushed));
  if (taken) co_return may_not_move(*taken);
  atlas::Look look = context.atlas.look(call.place.repository, pushed);
  CO_TRY(auto refused, co_await refused_model(op, context, look));
  if (refused) co_return std::move(*refused);
  const auto missing =
      co_await context.depot.manifests.put_manifest(op, call.place.repository, std::move(pushed));
  if (!missing) co_return refuse(missing.error(), "MANIFEST_UNKNOWN", "MANIFEST_INVALID");
  look.stored();
  Response response =
      created(fmt::format("/v2/{}/manifests/{}", call.place.repository, digest.string()), digest);
  for (const std::string& tag : wanted->tags) {
    if (wanted->digest) response.headers.add("OCI-Tag", tag);
  }
  if (reading->subject) response.headers.set("OCI-Subject", reading->subject->string());
  if (!missing->empty()) response.headers.set("Warning", warning_of(*missing));
  warn(response, look.findings());
  co_return response;
}

rt::Task<Result<Response>> delete_manifest(rt::Op& op, Context& context, Call call) {
  depot::Manifests& manifests = context.depot.manifests;
  const std::string& reference = call.place.reference;
  bool removed = false;
  if (looks_like_digest(reference)) {
    auto digest = digest_of(reference);
    if (!digest) co_return std::move(digest.error());
    CO_TRY(removed, co_await manifests.remove_manifest(op, call.place.repository, *digest,
                                                       origin_of(context, call)));
  } else {
    if (!oci::is_tag(reference)) co_return bad_reference(reference);
    CO_TRY(removed, co_await manifests.untag(op, call.place.repository, reference,
                                             origin_of(context, call)));
  }
  if (!removed) co_return unknown(call);
  co_return Response{.status = 202};
}

}  // namespace berth::registryd
