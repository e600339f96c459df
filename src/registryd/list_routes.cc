// The base, the lists, referrers and discovery: end-1, end-8, end-12; facts/oci.md A4.
#include <algorithm>

#include "json/json.h"
#include "oci/media_types.h"
#include "registryd/call.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kReferrersBytes = 4 * 1024 * 1024;  // of one page: what clients accept
constexpr std::size_t kReferrersRows = 1000;

json::Array array_of(const std::vector<std::string>& names) {
  json::Array array;
  array.reserve(names.size());
  for (const std::string& name : names) array.emplace_back(name);
  return array;
}

Response page_reply(json::Object object, const Call& call, const depot::Page& page,
                    std::size_t limit) {
  Response response = json_reply(object);
  if (page.more && limit > 0) link_next(response, call, page.names.back(), limit);
  return response;
}

std::size_t most_names(const Context& context, const Call& call) {
  return call.query("n") ? context.options.most_page : context.options.page;
}

// A page of referrers that fits; `last` is where the next begins, "" at the end.
struct ReferrersPage {
  std::string manifests;
  std::string last;
};
ReferrersPage fit(const std::vector<depot::Referrer>& found, const std::string& type,
                  std::size_t limit) {
  ReferrersPage page;
  for (const depot::Referrer& referrer : found) {
    const bool wanted = type.empty() || referrer.artifact_type == type;
    const bool full = page.manifests.size() + referrer.descriptor.size() > kReferrersBytes;
    if (wanted && full && !page.manifests.empty()) return page;
    if (wanted) {
      if (!page.manifests.empty()) page.manifests.push_back(',');
      page.manifests.append(referrer.descriptor);
    }
    page.last = referrer.digest;
  }
  if (found.size() < limit) page.last.clear();
  return page;
}

}  // namespace

Response json_reply(const json::Object& object) {
  return http::reply(200, "application/json", json::serialize(object));
}

Response bad_page() {
  return refuse(400, "UNSUPPORTED", "?n= takes a number: how many names a page may have");
}

rt::Task<Result<depot::Page>> visible_repositories(rt::Op& op, Context& context, const Call& call,
                                                   depot::PageRequest request) {
  depot::Page visible;
  const std::size_t wanted = request.limit;
  for (;;) {
    CO_TRY(const depot::Page page, co_await context.depot.lists.repositories(op, request));
    for (const std::string& name : page.names) {
      if (!call.caller.sees(name)) continue;
      if (visible.names.size() == wanted) {
        visible.more = true;
        co_return visible;
      }
      visible.names.push_back(name);
    }
    if (!page.more || page.names.empty()) co_return visible;
    request.last = page.names.back();
  }
}

rt::Task<Result<Response>> base(rt::Op&, Context&, Call) { co_return json_reply({}); }

rt::Task<Result<Response>> catalog(rt::Op& op, Context& context, Call call) {
  const auto request = page_request(call, most_names(context, call));
  if (!request) co_return bad_page();
  CO_TRY(const auto page, co_await visible_repositories(op, context, call, *request));
  co_return page_reply({{"repositories", array_of(page.names)}}, call, page, request->limit);
}

rt::Task<Result<Response>> list_tags(rt::Op& op, Context& context, Call call) {
  const auto request = page_request(call, most_names(context, call));
  if (!request) co_return bad_page();
  CO_TRY(const auto page, co_await context.depot.lists.tags(op, call.place.repository, *request));
  if (!page) {
    co_return refuse(404, "NAME_UNKNOWN",
                     fmt::format("there is no repository {}", call.place.repository));
  }
  json::Object object{{"name", call.place.repository}, {"tags", array_of(page->names)}};
  Response response = page_reply(std::move(object), call, *page, request->limit);
  warn_if_stale(response, context, call, "");
  co_return response;
}

rt::Task<Result<Response>> list_referrers(rt::Op& op, Context& context, Call call) {
  auto subject = digest_of(call.place.reference);
  if (!subject) co_return std::move(subject.error());
  auto request = page_request(call, kReferrersRows);
  if (!request || request->limit == 0) co_return bad_page();
  // A "+" that was not escaped came as a space; media types have none.
  std::string type = call.query("artifactType").value_or("");
  std::ranges::replace(type, ' ', '+');
  CO_TRY(const auto found,
         co_await context.depot.lists.referrers(op, call.place.repository, *subject, *request));
  const ReferrersPage page = fit(found, type, request->limit);
  Response response =
      http::reply(200, oci::media::kIndex,
                  fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}})",
                              oci::media::kIndex, page.manifests));
  if (!type.empty()) response.headers.set("OCI-Filters-Applied", "artifactType");
  if (!page.last.empty()) link_next(response, call, page.last, request->limit);
  warn_if_stale(response, context, call, subject->string());
  co_return response;
}

// Source: distribution-spec extensions/_oci.md.
rt::Task<Result<Response>> discover(rt::Op&, Context&, Call call) {
  json::Array extensions{json::Object{{"name", "_oci"},
                                      {"description", "discovery of extensions"},
                                      {"url",
                                       "https://github.com/opencontainers/distribution-spec/blob/"
                                       "main/extensions/_oci.md"},
                                      {"endpoints", json::Array{"_oci/ext/discover"}}}};
  if (call.place.repository.empty()) {
    extensions.push_back(json::Object{
        {"name", "_berth"},
        {"description",
         "models: search, tags with their history, storage and its check, retention, events"},
        {"endpoints", json::Array{"_berth/search", "_berth/models/<name>", "_berth/tags/<name>",
                                  "_berth/history/<name>", "_berth/usage", "_berth/usage/<name>",
                                  "_berth/collect", "_berth/prune", "_berth/events",
                                  "_berth/revive", "_berth/verify", "_berth/token"}}});
  }
  co_return json_reply({{"extensions", std::move(extensions)}});
}

}  // namespace berth::registryd
