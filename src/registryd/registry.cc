#include "registryd/registry.h"

#include <optional>

#include "base/text.h"
#include "registryd/call.h"
#include "registryd/naming.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

// What a route asks of its caller.
// kKnown: to be known, or nobody's token where somebody unknown may pull something. Without a token
// they hear 401 there as well: clients find out how to log in by asking for the base, and those
// that are not told there push without a login. kListing: the same, and what is not theirs is left
// out. kOwner: to delete anywhere.
enum class Need { kKnown, kFiltered, kListing, kPull, kPush, kDelete, kOwner };

struct Row {
  Resource resource;
  std::string_view method;  // GET serves HEAD as well
  std::string_view name;    // for metrics and the log
  Need need;
  Route route;
};

constexpr Row kRows[] = {
    {Resource::kBase, "GET", "base", Need::kKnown, base},
    {Resource::kCatalog, "GET", "catalog", Need::kFiltered, catalog},
    {Resource::kDiscover, "GET", "discover", Need::kFiltered, discover},
    {Resource::kTags, "GET", "tags", Need::kPull, list_tags},
    {Resource::kManifest, "GET", "manifest", Need::kPull, get_manifest},
    {Resource::kManifest, "PUT", "manifest", Need::kPush, put_manifest},
    {Resource::kManifest, "DELETE", "manifest", Need::kDelete, delete_manifest},
    {Resource::kBlob, "GET", "blob", Need::kPull, get_blob},
    {Resource::kBlob, "DELETE", "blob", Need::kDelete, delete_blob},
    {Resource::kUploads, "POST", "uploads", Need::kPush, start_upload},
    {Resource::kUpload, "GET", "upload", Need::kPush, upload_status},
    {Resource::kUpload, "PATCH", "upload", Need::kPush, upload_chunk},
    {Resource::kUpload, "PUT", "upload", Need::kPush, finish_upload},
    {Resource::kUpload, "DELETE", "upload", Need::kPush, cancel_upload},
    {Resource::kReferrers, "GET", "referrers", Need::kPull, list_referrers},
    {Resource::kSearch, "GET", "search", Need::kListing, search_models},
    {Resource::kModels, "GET", "models", Need::kPull, list_models},
    {Resource::kTagStates, "GET", "tag_states", Need::kPull, list_tag_states},
    {Resource::kHistory, "GET", "history", Need::kPull, list_history},
    {Resource::kUsage, "GET", "usage", Need::kListing, list_usage},
    {Resource::kRepositoryUsage, "GET", "usage", Need::kPull, list_repository_usage},
    {Resource::kCollect, "POST", "collect", Need::kOwner, collect},
    {Resource::kPrune, "POST", "prune", Need::kOwner, prune},
    {Resource::kEvents, "GET", "events", Need::kOwner, list_events},
    {Resource::kRevive, "POST", "revive", Need::kOwner, revive_events},
    {Resource::kVerify, "POST", "verify", Need::kOwner, verify},
    {Resource::kVerify, "GET", "verify", Need::kOwner, verification},
};

std::optional<guard::Action> action_of(Need need) {
  switch (need) {
    case Need::kPull:
      return guard::Action::kPull;
    case Need::kPush:
      return guard::Action::kPush;
    case Need::kDelete:
      return guard::Action::kDelete;
    default:
      return std::nullopt;
  }
}

bool may(Need need, const Place& place, const Caller& caller) {
  if (const auto action = action_of(need)) return caller.of(place.repository).allows(*action);
  switch (need) {
    case Need::kFiltered:
      return true;
    case Need::kKnown:
    case Need::kListing:
      return caller.is_known() || (caller.token && caller.anywhere().allows(guard::Action::kPull));
    case Need::kOwner:
      return caller.everywhere().allows(guard::Action::kDelete);
    default:
      return caller.is_known();
  }
}

// What a token would have to be for, in the words that clients know.
std::string scope_of(const Row& row, const Place& place) {
  if (row.resource == Resource::kCatalog || row.need == Need::kListing || row.need == Need::kOwner)
    return "registry:catalog:*";
  if (place.repository.empty()) return "";
  const std::string_view actions = row.need == Need::kPush     ? "pull,push"
                                   : row.need == Need::kDelete ? "delete"
                                                               : "pull";
  return fmt::format("repository:{}:{}", place.repository, actions);
}

std::string_view wanted_method(std::string_view method) {
  return method == "HEAD" ? "GET" : method;
}

Limits::Repeat repeat_of(const Request& request) {
  const auto* reader = std::get_if<std::unique_ptr<http::Reader>>(&request.body.content);
  return reader && *reader ? Limits::Repeat::kHard : Limits::Repeat::kPossible;
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
  // A refusal, or nothing when the caller may go on.
  std::optional<Response> judge(const Request& request, const Row& row, const Place& place,
                                const Caller& caller) const;
  rt::Task<Result<Response>> run(rt::Op& op, const Row& row, Request request, Place place);
  rt::Task<Result<Response>> answer(rt::Op& op, Request request);

  Context context;
  metrics::Registry& metrics;
};

std::optional<Response> Registry::Parts::judge(const Request& request, const Row& row,
                                               const Place& place, const Caller& caller) const {
  const auto action = action_of(row.need);
  if (may(row.need, place, caller)) return std::nullopt;
  const bool token_is_short =
      caller.token && ((action && caller.at_most(place.repository).allows(*action)) ||
                       (row.need == Need::kOwner && caller.may_own() && !caller.token->catalog));
  if (!caller.is_known() || token_is_short) {
    return context.gate.challenge(request, scope_of(row, place),
                                  "log in: this needs a user who may do it");
  }
  if (caller.holder && action &&
      caller.rules->of(caller.subject, place.repository).allows(*action)) {
    return refuse(403, "DENIED",
                  fmt::format("the token {} has no scope to {}: it takes one with the scope manage",
                              printable(caller.subject, 80), guard::to_string(*action)));
  }
  if (row.need == Need::kOwner) {
    return refuse(403, "DENIED",
                  fmt::format("{} may not do this: it takes the right to delete everywhere (**)",
                              printable(caller.subject, 80)));
  }
  return refuse(403, "DENIED",
                fmt::format("{} may not {} in {}", printable(caller.subject, 80),
                            action ? guard::to_string(*action) : "go on", place.repository));
}

rt::Task<Result<Response>> Registry::Parts::run(rt::Op& op, const Row& row, Request request,
                                                Place place) {
  // The upload's address was given to whoever was allowed to push; a token that ran out since does
  // not lose it.
  const auto late = row.resource == Resource::kUpload ? Gate::Late::kAccept : Gate::Late::kRefuse;
  Gate& gate = context.gate;
  const bool is_capability = (row.route == get_blob && gate.is_open_address(request)) ||
                             (row.route == finish_upload && gate.is_piece_address(request));
  if (is_capability) {
    const Status may_ask = gate.admit(gate.client_of(request, nullptr), repeat_of(request));
    if (!may_ask) co_return refuse(may_ask.error(), "UNKNOWN", "UNKNOWN");
    co_return co_await row.route(op, context,
                                 Call{.request = std::move(request), .place = std::move(place)});
  }
  auto caller = co_await gate.identify(op, request, late);
  const std::string client = gate.client_of(request, caller ? &*caller : nullptr);
  const bool too_fast = !caller && caller.error().code() == Code::kRateLimited;
  const Status may_ask = too_fast ? Status() : gate.admit(client, repeat_of(request));
  if (!may_ask) co_return refuse(may_ask.error(), "UNKNOWN", "UNKNOWN");
  if (!caller && caller.error().code() == Code::kUnauthenticated)
    co_return context.gate.challenge(request, scope_of(row, place), caller.error().message());
  if (!caller) co_return refuse(caller.error(), "UNKNOWN", "UNKNOWN");
  if (auto refusal = judge(request, row, place, *caller)) co_return std::move(*refusal);
  auto answer = co_await row.route(op, context,
                                   Call{.request = std::move(request),
                                        .place = std::move(place),
                                        .caller = std::move(*caller),
                                        .client = client});
  if (answer) co_return std::move(*answer);
  // A read has no body that could have broken off: it is somebody else who did not answer.
  co_return row.need == Need::kPull ? refuse_read(answer.error())
                                    : refuse(answer.error(), "UNKNOWN", "UNKNOWN");
}

rt::Task<Result<Response>> Registry::Parts::answer(rt::Op& op, Request request) {
  if (request.url.path == Gate::kTokenPath)
    co_return co_await context.gate.give_token(op, std::move(request));
  auto place = parse_place(request.url.path);
  if (!place) co_return refuse(place.error(), "NAME_UNKNOWN", "NAME_INVALID");
  if (!*place) co_return refuse(404, "UNSUPPORTED", "this is no address of the distribution API");
  const Row* row = find_row((*place)->resource, request.method);
  if (row == nullptr) co_return not_allowed((*place)->resource);
  Naming naming = name_source(context.options, request, **place);
  if (naming.refusal) co_return std::move(*naming.refusal);
  if (naming.source.empty()) CO_TRY_OK(co_await fall_back(op, context, request, **place));
  CO_TRY(Response response, co_await run(op, *row, std::move(request), std::move(**place)));
  if (!naming.source.empty()) response.headers.set("OCI-Namespace", naming.source);
  metrics.count("berth_registry_requests", "Requests to the registry.",
                {{"resource", std::string(row->name)},
                 {"method", std::string(row->method)},
                 {"status", fmt::format("{}", response.status)}});
  co_return std::move(response);
}

Registry::Registry(depot::Depot depot, atlas::Atlas& atlas, Gate& gate, metrics::Registry& metrics,
                   Options options)
    : parts_(std::make_unique<Parts>(Context{depot, atlas, gate, options}, metrics)) {}
Registry::~Registry() = default;

bool Registry::owns(std::string_view path) { return path == "/v2" || path.starts_with("/v2/"); }

rt::Task<Result<Response>> Registry::handle(rt::Op& op, Request request) {
  CO_TRY(Response response, co_await parts_->answer(op, std::move(request)));
  response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
  co_return std::move(response);
}

}  // namespace berth::registryd
