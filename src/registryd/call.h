// One request on its way through the registry, and what its routes share. Private to registryd.
#pragma once

#include <string>

#include "atlas/atlas.h"
#include "depot/depot.h"
#include "http/message.h"
#include "json/json.h"
#include "registryd/gate.h"
#include "registryd/place.h"
#include "registryd/registry.h"

namespace berth::registryd {

using http::Request;
using http::Response;

struct Call {
  Request request;
  Place place;
  Caller caller = {};
  std::string client = {};  // for the limits

  bool is_head() const { return request.method == "HEAD"; }
  std::optional<std::string> query(std::string_view name) const {
    return http::query_get(request.url.query, name);
  }
};

struct Context {
  depot::Depot depot;
  atlas::Atlas& atlas;
  Gate& gate;
  Options options;
};

// For the history of tags and for events; bounded, printable.
depot::Origin origin_of(const Context& context, const Call& call);

using Route = rt::Task<Result<Response>> (*)(rt::Op& op, Context& context, Call call);

// Ollama's client, which is served a little differently (facts/oci.md B4).
bool is_ollama(const Request& request);

// What never changes has its digest as its ETag.
std::string etag_of(const oci::Digest& digest);
// If-None-Match says that the caller has it.
bool has_it(const Request& request, const oci::Digest& digest);

inline constexpr std::string_view kDigestHeader = "Docker-Content-Digest";

Response created(std::string location, const oci::Digest& digest);
// The digest that a path or query names; the refusal says what is wrong.
std::expected<oci::Digest, Response> digest_of(std::string_view text);
// ?n= and ?last=, bounded; nullopt when n is no number.
std::optional<depot::PageRequest> page_request(const Call& call, std::size_t most);
// Link: the next page (RFC 8288).
void link_next(Response& response, const Call& call, std::string_view last, std::size_t limit);

// Warning: a sentence for whoever uses the client (distribution-spec "Warnings", RFC 7234 section
// 5.5): quoted, one line, ASCII.
void add_warning(Response& response, std::string_view sentence);
// The same where an answer may be out of date because another registry could not be asked.
void warn_if_stale(Response& response, Context& context, const Call& call,
                   const std::string& question);

// A 400 for a ?n= that is no number.
Response bad_page();
Response json_reply(const json::Object& object);
// Only the repositories that the caller may pull from; pages are read until one is full.
rt::Task<Result<depot::Page>> visible_repositories(rt::Op& op, Context& context, const Call& call,
                                                   depot::PageRequest request);

// Blobs.
rt::Task<Result<Response>> get_blob(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> delete_blob(rt::Op& op, Context& context, Call call);
// Uploads.
rt::Task<Result<Response>> start_upload(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> upload_status(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> upload_chunk(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> finish_upload(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> cancel_upload(rt::Op& op, Context& context, Call call);
// Manifests.
rt::Task<Result<Response>> get_manifest(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> put_manifest(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> delete_manifest(rt::Op& op, Context& context, Call call);
// Lists.
rt::Task<Result<Response>> base(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> catalog(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> discover(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_tags(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_referrers(rt::Op& op, Context& context, Call call);
// Models.
rt::Task<Result<Response>> search_models(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_models(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_tag_states(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_history(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_usage(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> list_repository_usage(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> collect(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> prune(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> verify(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> verification(rt::Op& op, Context& context, Call call);
// Events.
rt::Task<Result<Response>> list_events(rt::Op& op, Context& context, Call call);
rt::Task<Result<Response>> revive_events(rt::Op& op, Context& context, Call call);

}  // namespace berth::registryd
