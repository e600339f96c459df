#include "registryd/naming.h"

#include <algorithm>

#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

bool is_content(Resource resource) {
  return resource == Resource::kManifest || resource == Resource::kBlob ||
         resource == Resource::kTags || resource == Resource::kReferrers;
}

std::string below(const std::string& prefix, const std::string& repository) {
  return prefix + "/" + repository;
}

// What a pull asks. A push asks by HEAD for blobs and digests, and must not hear of another's.
bool is_pull(const Request& request, const Place& place) {
  if (!is_content(place.resource)) return false;
  if (request.method == "GET") return true;
  const bool by_tag = place.reference.find(':') == std::string::npos;
  return request.method == "HEAD" && place.resource == Resource::kManifest && by_tag;
}

}  // namespace

Naming name_source(const Options& options, const Request& request, Place& place) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (options.namespaces.empty() || !reads || !is_content(place.resource)) return {};
  const auto source = http::query_get(request.url.query, "ns");
  if (!source) return {};
  const auto found = std::ranges::find(options.namespaces, *source, &Namespace::source);
  if (found == options.namespaces.end()) {
    return {.source = {},
            .refusal =
                refuse(404, "NAME_UNKNOWN",
                       fmt::format("this registry is no mirror of {}", printable(*source, 100)))};
  }
  place.repository = below(found->prefix, place.repository);
  return {.source = found->source, .refusal = std::nullopt};
}

rt::Task<Status> fall_back(rt::Op& op, Context& context, const Request& request, Place& place) {
  const std::string& prefix = context.options.fallback;
  if (prefix.empty() || !is_pull(request, place)) co_return Status();
  for (const Namespace& known : context.options.namespaces)
    if (place.repository.starts_with(known.prefix + "/")) co_return Status();
  CO_TRY(const auto here,
         co_await context.depot.lists.tags(op, place.repository, {.last = {}, .limit = 1}));
  if (!here) place.repository = below(prefix, place.repository);
  co_return Status();
}

}  // namespace berth::registryd
