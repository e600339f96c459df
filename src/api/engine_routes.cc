#include "api/engine_routes.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "control/json.h"

namespace berth::api {
namespace {

constexpr std::array<std::string_view, 6> kBackends = {"llama.cpp", "vllm",      "sglang",
                                                       "mlx",       "diffusers", "vllm-metal"};

struct NoEvents : control::Events {
  void on(const control::Event&) override {}
};

Response empty(int status) { return {.status = status, .headers = {}, .body = {}}; }

// The backend that an install request names; only llama.cpp can be installed.
Result<std::string> installable(const json::View& body) {
  TRY(std::string name, body.string_or("backend", "llama.cpp"));
  if (name == "llama.cpp") return name;
  TRY_OK(check_backend(name));
  return fail(Code::kNotFound, "the backend \"{}\" is not in this version; there is llama.cpp",
              name);
}

}  // namespace

Status check_backend(const std::string& name) {
  if (name.empty() || std::ranges::find(kBackends, name) != kBackends.end()) return {};
  return fail(Code::kNotFound, "there is no backend \"{}\"; there is llama.cpp",
              printable(name, 60));
}

Routes EngineRoutes::routes() {
  using guard::Scope;
  Routes routes = {
      {"GET", "/engines/status", Scope::kRead, ErrorForm::kText, bind(this, &EngineRoutes::status)},
      {"GET", "/engines/ps", Scope::kRead, ErrorForm::kText, bind(this, &EngineRoutes::ps)},
      {"GET", "/engines/df", Scope::kRead, ErrorForm::kText, bind(this, &EngineRoutes::df)},
      {"POST", "/engines/unload", Scope::kManage, ErrorForm::kText,
       bind(this, &EngineRoutes::unload)},
      {"POST", "/engines/install-backend", Scope::kAdmin, ErrorForm::kText,
       bind(this, &EngineRoutes::install)},
      {"POST", "/engines/uninstall-backend", Scope::kAdmin, ErrorForm::kText,
       bind(this, &EngineRoutes::uninstall)},
      {"GET", "/engines/requests", Scope::kAdmin, ErrorForm::kText,
       bind(this, &EngineRoutes::requests)},
  };
  for (const char* path : {"/engines/_configure", "/engines/{backend}/_configure"}) {
    routes.push_back(
        {"POST", path, Scope::kManage, ErrorForm::kText, bind(this, &EngineRoutes::configure)});
    routes.push_back(
        {"GET", path, Scope::kRead, ErrorForm::kText, bind(this, &EngineRoutes::configurations)});
  }
  return routes;
}

EngineRoutes::Answer EngineRoutes::status(rt::Op& op, Request, Params) {
  CO_TRY(const control::StatusReport report, co_await context_.services.system.status(op));
  json::Object object;
  for (const control::BackendStatus& backend : report.backends) {
    object[backend.name] = control::backend_text(backend);
  }
  co_return json_reply(200, object);
}

EngineRoutes::Answer EngineRoutes::ps(rt::Op& op, Request, Params) {
  CO_TRY(const auto running, co_await context_.services.runs.ps(op));
  json::Array array;
  for (const control::RunningModel& model : running) array.push_back(control::to_json(model));
  co_return json_reply(200, array);
}

EngineRoutes::Answer EngineRoutes::df(rt::Op& op, Request, Params) {
  CO_TRY(const control::DiskUsage usage, co_await context_.services.system.df(op));
  co_return json_reply(200, control::to_json(usage));
}

EngineRoutes::Answer EngineRoutes::unload(rt::Op& op, Request request, Params) {
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  CO_TRY(control::UnloadRequest unload, control::unload_from_json(json::View(body, "body")));
  CO_TRY(const std::uint64_t count, co_await context_.services.runs.unload(op, std::move(unload)));
  co_return json_reply(200, json::Object{{"unloaded_runners", count}});
}

EngineRoutes::Answer EngineRoutes::configure(rt::Op& op, Request request, Params params) {
  CO_TRY_OK(check_backend(params.get("backend")));
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  CO_TRY(control::Configuration configuration,
         control::configuration_from_json(json::View(body, "body")));
  if (configuration.model.empty()) co_return fail(Code::kInvalid, "the body has no \"model\"");
  CO_TRY_OK(co_await context_.services.runs.configure(op, std::move(configuration)));
  co_return empty(202);
}

EngineRoutes::Answer EngineRoutes::configurations(rt::Op& op, Request request, Params params) {
  CO_TRY_OK(check_backend(params.get("backend")));
  const std::string model = http::query_get(request.url.query, "model").value_or("");
  CO_TRY(const auto entries, co_await context_.services.runs.configurations(op, model));
  json::Array array;
  for (const control::ConfigurationEntry& entry : entries) array.push_back(control::to_json(entry));
  co_return json_reply(200, array);
}

EngineRoutes::Answer EngineRoutes::install(rt::Op& op, Request request, Params) {
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  const json::View view(body, "body");
  control::InstallRequest install;
  CO_TRY(install.backend, installable(view));
  CO_TRY(install.version, view.string_or("version", ""));
  NoEvents events;
  CO_TRY_OK(co_await context_.services.machine.install_runner(op, std::move(install), events));
  co_return empty(200);
}

EngineRoutes::Answer EngineRoutes::uninstall(rt::Op& op, Request request, Params) {
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  CO_TRY(std::string backend, installable(json::View(body, "body")));
  CO_TRY_OK(co_await context_.services.machine.uninstall_runner(op, std::move(backend)));
  co_return empty(200);
}

EngineRoutes::Answer EngineRoutes::requests(rt::Op& op, Request request, Params) {
  CO_TRY_OK(op.check());
  if (!recorder_.enabled()) {
    co_return fail(Code::kNotFound,
                   "requests are not recorded, because prompts are private; turn it on with: berth "
                   "serve --record-requests");
  }
  const std::string model = http::query_get(request.url.query, "model").value_or("");
  const auto accept = request.headers.get("Accept");
  if (!accept || accept->find("text/event-stream") == std::string_view::npos) {
    co_return json_reply(200, recorder_.list(model));
  }
  const auto existing = query_flag(request, "include_existing") ? Recorder::Existing::kInclude
                                                                : Recorder::Existing::kSkip;
  Response response{.status = 200,
                    .headers = {},
                    .body = http::Body(recorder_.follow(model, existing), std::nullopt)};
  response.headers.set("Content-Type", "text/event-stream");
  response.headers.set("Cache-Control", "no-cache");
  co_return response;
}

}  // namespace berth::api
