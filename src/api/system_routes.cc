#include "api/system_routes.h"

#include "api/model_routes.h"
#include "control/json.h"

namespace berth::api {
namespace {

constexpr std::chrono::seconds kScrapeTime{2};
constexpr std::uint64_t kMaxScrape = 4u << 20;
constexpr const char* kText = "text/plain; charset=utf-8";

}  // namespace

Routes SystemRoutes::routes() {
  using guard::Scope;
  return {
      {"GET", "/", std::nullopt, ErrorForm::kText, bind(this, &SystemRoutes::root)},
      {"GET", "/version", std::nullopt, ErrorForm::kText, bind(this, &SystemRoutes::version)},
      {"GET", "/health", std::nullopt, ErrorForm::kText, bind(this, &SystemRoutes::health)},
      {"GET", "/logs", Scope::kAdmin, ErrorForm::kText, bind(this, &SystemRoutes::logs)},
      {"GET", "/metrics", Scope::kRead, ErrorForm::kText, bind(this, &SystemRoutes::metrics)},
      {"GET", "/berth/v1/status", Scope::kRead, ErrorForm::kText,
       bind(this, &SystemRoutes::status)},
      {"GET", "/berth/v1/models/{name...}", Scope::kRead, ErrorForm::kText,
       bind(this, &SystemRoutes::inspect)},
      {"DELETE", "/berth/v1/models/{name...}", Scope::kManage, ErrorForm::kText,
       bind(this, &SystemRoutes::remove)},
      {"POST", "/berth/v1/purge", Scope::kManage, ErrorForm::kText,
       bind(this, &SystemRoutes::purge)},
      {"POST", "/berth/v1/prune", Scope::kManage, ErrorForm::kText,
       bind(this, &SystemRoutes::prune)},
      {"GET", "/berth/v1/settings", Scope::kAdmin, ErrorForm::kText,
       bind(this, &SystemRoutes::settings)},
  };
}

SystemRoutes::Answer SystemRoutes::root(rt::Op& op, Request, Params) {
  CO_TRY_OK(op.check());
  // The first line is what programs look for that know Docker Model Runner.
  co_return http::reply(200, kText,
                        "Docker Model Runner is running\nserved by Berth " BERTH_VERSION "\n");
}

SystemRoutes::Answer SystemRoutes::version(rt::Op& op, Request, Params) {
  CO_TRY(std::string version, co_await context_.services.system.server_version(op));
  co_return json_reply(
      200,
      json::Object{{"version", std::move(version)}, {"product", "berth"}, {"berth_api", "v1"}});
}

SystemRoutes::Answer SystemRoutes::health(rt::Op& op, Request, Params) {
  CO_TRY_OK(op.check());
  co_return json_reply(200, json::Object{{"status", "ok"}});
}

SystemRoutes::Answer SystemRoutes::logs(rt::Op& op, Request request, Params) {
  const bool engines = !query_flag(request, "no-engines");
  CO_TRY(auto reader,
         co_await context_.services.system.logs(op, query_flag(request, "follow"), engines));
  Response response{
      .status = 200, .headers = {}, .body = http::Body(std::move(reader), std::nullopt)};
  response.headers.set("Content-Type", kText);
  co_return response;
}

SystemRoutes::Answer SystemRoutes::metrics(rt::Op& op, Request, Params) {
  std::string text = context_.metrics.text();
  auto comments = metrics::Comments::kKeep;
  for (const Scrape& engine : context_.engines.running()) {
    text += co_await scrape(op, engine, comments);
    comments = metrics::Comments::kDrop;  // all engines have the same families
  }
  co_return http::reply(200, "text/plain; version=0.0.4; charset=utf-8", std::move(text));
}

// An engine that does not answer in time is left out.
rt::Task<std::string> SystemRoutes::scrape(rt::Op& op, Scrape engine, metrics::Comments comments) {
  rt::Op limited(op, std::chrono::steady_clock::now() + kScrapeTime);
  Request request;
  request.url.path = "/metrics";
  auto response = co_await engine.service->handle(limited, std::move(request));
  if (!response || response->status != 200) co_return "";
  const auto text = co_await http::read_all(limited, std::move(response->body), kMaxScrape);
  if (!text) co_return "";
  co_return metrics::relabel(
      *text, {{"backend", engine.backend}, {"model", engine.model}, {"mode", engine.mode}},
      comments);
}

SystemRoutes::Answer SystemRoutes::status(rt::Op& op, Request, Params) {
  CO_TRY(const auto report, co_await context_.services.system.status(op));
  co_return json_reply(200, control::to_json(report));
}

SystemRoutes::Answer SystemRoutes::inspect(rt::Op& op, Request request, Params params) {
  if (query_flag(request, "remote")) {
    CO_TRY(const auto remote,
           co_await context_.services.models.inspect(op, params.get("name"), true));
    co_return json_reply(200, control::to_json(remote));
  }
  CO_TRY(const auto detail, co_await find_detail(op, context_.services.models, params.get("name")));
  co_return json_reply(200, control::to_json(detail));
}

SystemRoutes::Answer SystemRoutes::remove(rt::Op& op, Request request, Params params) {
  CO_TRY(const auto result, co_await context_.services.models.remove(op, params.get("name"),
                                                                     query_flag(request, "force")));
  co_return json_reply(200, control::to_json(result));
}

SystemRoutes::Answer SystemRoutes::purge(rt::Op& op, Request, Params) {
  CO_TRY(const auto result, co_await context_.services.models.purge(op));
  co_return json_reply(200, control::to_json(result));
}

SystemRoutes::Answer SystemRoutes::prune(rt::Op& op, Request request, Params) {
  CO_TRY(const auto result,
         co_await context_.services.models.prune(op, query_flag(request, "dry_run")));
  co_return json_reply(200, control::to_json(result));
}

SystemRoutes::Answer SystemRoutes::settings(rt::Op& op, Request, Params) {
  CO_TRY_OK(op.check());
  json::Array array;
  for (const control::Setting& setting : context_.services.machine.settings()) {
    array.push_back(control::to_json(setting));
  }
  co_return json_reply(200, array);
}

}  // namespace berth::api
