#include "api/api.h"

#include "api/access.h"
#include "api/engine_routes.h"
#include "api/errors.h"
#include "api/inference_routes.h"
#include "api/model_routes.h"
#include "api/recorder.h"
#include "api/route.h"
#include "api/system_routes.h"
#include "base/text.h"

namespace berth::api {
namespace {

// Docker's clients send this when they go through the Docker socket.
constexpr std::string_view kDesktopPrefix = "/exp/vDD4.40";

void strip_prefix(http::Url& url) {
  if (!url.path.starts_with(kDesktopPrefix)) return;
  const std::string_view rest = std::string_view(url.path).substr(kDesktopPrefix.size());
  if (rest.empty()) {
    url.path = "/";
  } else if (rest.front() == '/') {
    url.path = std::string(rest);
  }
}

}  // namespace

rt::Task<Result<json::Value>> read_json(rt::Op& op, http::Body body, std::uint64_t limit) {
  CO_TRY(const std::string text, co_await http::read_all(op, std::move(body), limit));
  if (trim(text).empty()) co_return json::Object();
  CO_TRY(json::Value value, json::parse(text, "the body", {.bytes = limit}));
  if (!value.is_object()) co_return fail(Code::kInvalid, "the body is not a JSON object");
  co_return std::move(value);
}

bool query_flag(const Request& request, std::string_view name) {
  const auto value = http::query_get(request.url.query, name);
  return value && (*value == "true" || *value == "1");
}

struct Api::Parts {
  Parts(rt::Loop& loop, control::Services services, Engines& engines, metrics::Registry& metrics,
        Options options)
      : context{loop, services, engines, metrics, std::move(options)},
        op("api"),
        transfers(loop),
        recorder(loop),
        access(loop, context.options.access),
        models(context, transfers, op),
        engine_routes(context, recorder),
        inference(context, recorder),
        system(context) {
    recorder.enable(context.options.record_requests);
    add(models.routes());
    add(engine_routes.routes());
    add(inference.routes());
    add(system.routes());
  }

  void add(Routes routes);
  rt::Task<Result<Response>> answer(rt::Op& request_op, const Route& route, Request request,
                                    Params params);
  rt::Task<Result<Response>> run(rt::Op& request_op, const Route& route, Request request,
                                 Params params);

  Context context;
  rt::Op op;  // of what outlives its response
  rt::Scope transfers;
  Recorder recorder;
  Access access;
  ModelRoutes models;
  EngineRoutes engine_routes;
  InferenceRoutes inference;
  SystemRoutes system;
  http::Router router;
};

void Api::Parts::add(Routes routes) {
  for (Route& row : routes) {
    const auto route = std::make_shared<Route>(std::move(row));
    router.add(route->method, route->pattern,
               [this, route](rt::Op& request_op, Request request, Params params) {
                 return answer(request_op, *route, std::move(request), std::move(params));
               });
  }
}

// Runs one route and counts it. A failure becomes the answer that callers of this route expect.
rt::Task<Result<Response>> Api::Parts::answer(rt::Op& request_op, const Route& route,
                                              Request request, Params params) {
  context.metrics.add("berth_requests_in_flight", "Requests whose answer has not begun.", {}, 1);
  auto response = co_await run(request_op, route, std::move(request), std::move(params));
  context.metrics.add("berth_requests_in_flight", "Requests whose answer has not begun.", {}, -1);
  if (!response) response = error_response(response.error(), route.errors);
  context.metrics.count("berth_requests", "Requests by route and status.",
                        {{"method", route.method},
                         {"route", route.pattern},
                         {"status", fmt::format("{}", response->status)}});
  co_return std::move(response);
}

rt::Task<Result<Response>> Api::Parts::run(rt::Op& request_op, const Route& route, Request request,
                                           Params params) {
  CO_TRY(const auto principal, co_await access.identify(request_op, request));
  if (route.scope) CO_TRY_OK(guard::decide(principal, *route.scope));
  co_return co_await route.handler(request_op, std::move(request), std::move(params));
}

Api::Api(rt::Loop& loop, control::Services services, Engines& engines, metrics::Registry& metrics,
         Options options)
    : parts_(std::make_unique<Parts>(loop, services, engines, metrics, std::move(options))) {}

Api::~Api() = default;

rt::Task<Result<http::Response>> Api::handle(rt::Op& op, http::Request request) {
  const http::BrowserRules& rules = parts_->context.options.browser;
  strip_prefix(request.url);
  // What a proxy adds is nothing that a stranger could claim; it is not believed, only tolerated.
  if (parts_->access.is_proxy(request.peer)) request.headers.remove("X-Forwarded-Host");
  if (auto refused = http::guard_browser(request, rules)) co_return std::move(*refused);
  const auto origin = http::allowed_origin(request, rules);
  CO_TRY(Response response, co_await parts_->router.handle(op, std::move(request)));
  if (origin) http::allow_origin(*origin, response);
  response.headers.set("Server", "berth/" BERTH_VERSION);
  co_return std::move(response);
}

void Api::reconfigure(Options options) {
  parts_->access.reconfigure(options.access);
  parts_->recorder.enable(options.record_requests);
  parts_->context.options = std::move(options);
}

void Api::end_following() { parts_->recorder.end_following(); }

rt::Task<Status> Api::drain() {
  parts_->op.cancel(Error(Code::kCancelled, "the server stops"));
  co_return co_await parts_->transfers.join();
}

}  // namespace berth::api
