#include "base/text.h"
#include "client/verbs.h"
#include "control/json.h"

namespace berth::client {
namespace {

std::unexpected<Error> not_over_there(std::string_view what) {
  return fail(Code::kUnsupported, "{} works on this machine only; leave --host out", what);
}

// The members that only Berth's status has.
Status read_more(const json::View& view, control::StatusReport& report) {
  TRY(report.store, view.string_or("store", ""));
  TRY(const auto endpoints, view.array_or_empty("endpoints"));
  for (const json::View& endpoint : endpoints) {
    TRY(const std::string text, endpoint.string());
    report.endpoints.push_back(printable(text, 200));
  }
  const auto sandbox = view.find("sandbox");
  if (!sandbox) return {};
  TRY(const auto members, sandbox->object());
  for (const auto& [name, state] : members) {
    TRY(std::string text, state.string());
    report.sandbox.emplace_back(printable(name, 100), printable(text, 500));
  }
  return {};
}

}  // namespace

rt::Task<Result<control::StatusReport>> System::status(rt::Op& op) {
  control::StatusReport report{.endpoint = server_.shown()};
  CO_TRY(const bool berth, co_await server_.is_berth(op));
  CO_TRY(const json::Value body, co_await server_.json(op, {.path = "/engines/status"}));
  CO_TRY(const auto members, json::View(body, "status").object());
  for (const auto& [name, text] : members) {
    CO_TRY(const std::string state, text.string());
    report.backends.push_back(
        control::backend_from_text(printable(name, 100), printable(state, 1000)));
  }
  report.running = true;
  if (!berth) co_return report;
  CO_TRY(const json::Value more, co_await server_.json(op, {.path = "/berth/v1/status"}));
  CO_TRY_OK(read_more(json::View(more, "status"), report));
  co_return report;
}

rt::Task<Result<std::string>> System::server_version(rt::Op& op) {
  CO_TRY(const json::Value body, co_await server_.json(op, {.path = "/version"}));
  CO_TRY(const std::string version, json::View(body, "version").string("version"));
  co_return printable(version, 100);
}

rt::Task<Result<control::DiskUsage>> System::df(rt::Op& op) {
  CO_TRY(const json::Value body, co_await server_.json(op, {.path = "/engines/df"}));
  co_return control::usage_from_json(json::View(body, "df"));
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> System::logs(rt::Op& op, bool follow, bool engines) {
  Call call{.path = "/logs", .query = fmt::format("follow={}&no-engines={}", follow, !engines)};
  co_return co_await server_.stream(op, std::move(call));
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> System::requests(rt::Op& op, std::string model,
                                                               bool follow, bool include_existing) {
  Call call{.path = "/engines/requests"};
  if (!model.empty()) call.query = "model=" + http::percent_encode(model);
  if (follow) call.headers.set("Accept", "text/event-stream");
  if (include_existing)
    call.query += std::string(call.query.empty() ? "" : "&") + "include_existing=true";
  co_return co_await server_.stream(op, std::move(call));
}

rt::Task<Result<std::string>> Machine::install_runner(rt::Op& op, control::InstallRequest request,
                                                      control::Events&) {
  if (!request.from.empty()) co_return not_over_there("installing an engine from an image");
  json::Object body{{"backend", request.backend}};
  if (!request.version.empty()) body["version"] = request.version;
  CO_TRY_OK(co_await server_.done(op, json_call("POST", "/engines/install-backend", body)));
  co_return request.version;
}

rt::Task<Result<bool>> Machine::uninstall_runner(rt::Op& op, std::string backend) {
  const json::Object body{{"backend", backend}};
  CO_TRY_OK(co_await server_.done(op, json_call("POST", "/engines/uninstall-backend", body)));
  co_return true;
}

rt::Task<Result<std::vector<std::string>>> Machine::import_path(rt::Op& op, control::ImportPath,
                                                                control::Events&) {
  CO_TRY_OK(op.check());
  co_return not_over_there("importing a folder");
}

rt::Task<Result<control::CheckResult>> Machine::check_store(rt::Op& op, control::CheckRequest,
                                                            control::Events&) {
  CO_TRY_OK(op.check());
  co_return not_over_there("checking a store");
}

rt::Task<Result<control::LoginResult>> Machine::login(rt::Op& op, control::LoginRequest) {
  CO_TRY_OK(op.check());
  co_return not_over_there("login");
}

rt::Task<Result<bool>> Machine::logout(rt::Op& op, std::string) {
  CO_TRY_OK(op.check());
  co_return not_over_there("logout");
}

Result<control::Tokens::Created> Tokens::create(std::string, std::vector<std::string>,
                                                std::optional<std::chrono::seconds>) {
  return not_over_there("making a token");
}
Result<std::vector<control::TokenInfo>> Tokens::list() { return not_over_there("listing tokens"); }
Result<bool> Tokens::revoke(std::string) { return not_over_there("revoking a token"); }

rt::Task<Result<std::vector<control::RegistryModel>>> RegistryView::models(rt::Op&, std::string,
                                                                           control::RegistryQuery) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<std::vector<control::RegistryTag>>> RegistryView::tags(rt::Op&, std::string,
                                                                       std::string) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<std::vector<control::RegistryMove>>> RegistryView::history(rt::Op&, std::string,
                                                                           std::string,
                                                                           std::string) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<std::vector<control::RegistryUsage>>> RegistryView::usage(rt::Op&, std::string,
                                                                          std::string) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<control::RegistryCollection>> RegistryView::collect(rt::Op&, std::string, bool) {
  co_return not_over_there("asking a registry");
}

rt::Task<Result<std::vector<control::RegistryPruned>>> RegistryView::prune(
    rt::Op&, std::string, control::RegistryPruning) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<control::RegistryVerification>> RegistryView::verify(rt::Op&, std::string,
                                                                     std::string,
                                                                     control::Events&) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<control::RegistryEvents>> RegistryView::events(rt::Op&, std::string) {
  co_return not_over_there("asking a registry");
}
rt::Task<Result<std::uint64_t>> RegistryView::revive(rt::Op&, std::string, std::string) {
  co_return not_over_there("asking a registry");
}

}  // namespace berth::client
