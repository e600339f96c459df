#include "registryd/registry.h"

#include <chrono>

#include "base/text.h"
#include "registryd/call.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

struct Row {
  Resource resource;
  std::string_view method;  // GET serves HEAD as well
  std::string_view name;    // for metrics and the log
  Route route;
};

constexpr Row kRows[] = {
    {Resource::kBase, "GET", "base", base},
    {Resource::kCatalog, "GET", "catalog", catalog},
    {Resource::kDiscover, "GET", "discover", discover},
    {Resource::kTags, "GET", "tags", list_tags},
    {Resource::kManifest, "GET", "manifest", get_manifest},
    {Resource::kManifest, "PUT", "manifest", put_manifest},
    {Resource::kManifest, "DELETE", "manifest", delete_manifest},
    {Resource::kBlob, "GET", "blob", get_blob},
    {Resource::kBlob, "DELETE", "blob", delete_blob},
    {Resource::kUploads, "POST", "uploads", start_upload},
    {Resource::kUpload, "GET", "upload", upload_status},
    {Resource::kUpload, "PATCH", "upload", upload_chunk},
    {Resource::kUpload, "PUT", "upload", finish_upload},
    {Resource::kUpload, "DELETE", "upload", cancel_upload},
    {Resource::kReferrers, "GET", "referrers", list_referrers},
};

std::string_view wanted_method(std::string_view method) {
  return method == "HEAD" ? "GET" : method;
}

const Row* find_row(Resource resource, std::string_view method) {
  for (const Row& row : kRows)
    if (row.resource == resource && row.method == wanted_method(method)) return &row;
  return nullptr;
}

Response not_allowed(Resource resource) {
  std::string allow;
  for (const Row& row : kRows) {
    if (row.resource != resource) continue;
    allow += (allow.empty() ? "" : ", ") + std::string(row.method);
    if (row.method == "GET") allow += ", HEAD";
  }
  Response response = refuse(405, "UNSUPPORTED", fmt::format("this address takes only {}", allow));
  response.headers.set("Allow", allow);
  return response;
}

}  // namespace

struct Registry::Parts {
  Context context;
  metrics::Registry& metrics;
};

Registry::Registry(depot::Depot depot, metrics::Registry& metrics, Options options)
    : parts_(std::make_unique<Parts>(Context{depot, options}, metrics)) {}
Registry::~Registry() = default;

bool Registry::owns(std::string_view path) { return path == "/v2" || path.starts_with("/v2/"); }

rt::Task<Result<Response>> Registry::handle(rt::Op& op, Request request) {
  auto place = parse_place(request.url.path);
  Response response;
  if (!place) {
    response = refuse(place.error(), "NAME_UNKNOWN", "NAME_INVALID");
  } else if (!*place) {
    response = refuse(404, "UNSUPPORTED", "this is no address of the distribution API");
  } else if (const Row* row = find_row((*place)->resource, request.method); row == nullptr) {
    response = not_allowed((*place)->resource);
  } else {
    auto answer = co_await row->route(
        op, parts_->context,
        Call{.request = std::move(request), .place = std::move(**place), .actor = "anonymous"});
    response = answer ? std::move(*answer) : refuse(answer.error(), "UNKNOWN", "UNKNOWN");
    parts_->metrics.count("berth_registry_requests", "Requests to the registry.",
                          {{"resource", std::string(row->name)},
                           {"method", std::string(row->method)},
                           {"status", fmt::format("{}", response.status)}});
  }
  response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
  co_return std::move(response);
}

}  // namespace berth::registryd
