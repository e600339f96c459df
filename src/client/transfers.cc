#include "client/progress_lines.h"
#include "client/verbs.h"

namespace berth::client {
namespace {

// Sends a Reader that somebody else owns.
class Borrowed : public rt::Reader {
 public:
  explicit Borrowed(rt::Reader& reader) : reader_(reader) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    return reader_.read(op, into);
  }

 private:
  rt::Reader& reader_;
};

json::Object with_bearer(json::Object body, const std::string& token) {
  if (!token.empty()) body["bearer-token"] = token;
  return body;
}

Status check_rate(std::uint64_t limit_rate) {
  if (limit_rate == 0) return {};
  return fail(Code::kUnsupported,
              "a rate can be limited for transfers of this machine only; for a server set "
              "network.limit_rate in its configuration");
}

Call progress_call(std::string path, const json::Object& body) {
  Call call = json_call("POST", std::move(path), body);
  call.headers.set("Accept", "application/json");
  return call;
}

Result<control::PullResult> pulled_from_json(const json::View& view) {
  control::PullResult result;
  TRY(result.reference, view.string("reference"));
  TRY(result.digest, view.string("digest"));
  TRY(result.id, view.string("id"));
  TRY(result.size, view.u64_or("size", 0));
  TRY(result.transferred, view.u64_or("transferred", 0));
  TRY(result.cached, view.boolean_or("cached", false));
  TRY(result.left_out, view.u64_or("left_out", 0));
  return result;
}

Result<control::PushResult> pushed_from_json(const json::View& view) {
  control::PushResult result;
  TRY(result.reference, view.string("reference"));
  TRY(result.digest, view.string("digest"));
  TRY(result.size, view.u64_or("size", 0));
  TRY(result.transferred, view.u64_or("transferred", 0));
  return result;
}

}  // namespace

rt::Task<Result<control::PullResult>> Transfers::pull(rt::Op& op, control::PullRequest request,
                                                      control::Events& events) {
  CO_TRY_OK(check_rate(request.limit_rate));
  json::Object body = with_bearer({{"from", request.model}}, request.bearer_token);
  if (!request.platform.empty()) body["platform"] = request.platform;
  if (!request.include.empty()) {
    CO_TRY_OK(co_await server_.need_berth(op, "pull some of a model's files"));
    json::Array patterns;
    for (const std::string& pattern : request.include) patterns.emplace_back(pattern);
    body["include"] = std::move(patterns);
  }
  CO_TRY(http::Response response, co_await server_.send(op, progress_call("/models/create", body)));
  CO_TRY(const json::Value success, co_await read_progress(op, std::move(response.body), events));
  const json::View view(success, "success line");
  if (const auto result = view.find("result")) co_return pulled_from_json(*result);
  // Docker Model Runner does not say what it pulled: its own word for the model does.
  CO_TRY(const std::string message, view.string_or("message", ""));
  CO_TRY(const auto detail, co_await models_.inspect(op, request.model, false));
  control::PullResult result{
      .digest = detail.model.id, .id = detail.model.id, .size = detail.model.size};
  result.reference = detail.model.tags.empty() ? request.model : detail.model.tags.front();
  result.cached = message.starts_with("Using cached model");
  co_return result;
}

rt::Task<Result<control::PushResult>> Transfers::push(rt::Op& op, control::PushRequest request,
                                                      control::Events& events) {
  CO_TRY_OK(check_rate(request.limit_rate));
  const json::Object body = with_bearer({}, request.bearer_token);
  Call call = progress_call(path_of("/models/", request.model, "/push"), body);
  CO_TRY(http::Response response, co_await server_.send(op, std::move(call)));
  CO_TRY(const json::Value success, co_await read_progress(op, std::move(response.body), events));
  if (const auto result = json::View(success, "success line").find("result"))
    co_return pushed_from_json(*result);
  CO_TRY(const auto detail, co_await models_.inspect(op, request.model, false));
  co_return control::PushResult{
      .reference = request.model, .digest = detail.model.id, .size = detail.model.size};
}

rt::Task<Result<control::PackageResult>> Transfers::package(rt::Op& op,
                                                            control::PackageRequest request,
                                                            control::Events&) {
  CO_TRY_OK(op.check());
  co_return fail(Code::kUnsupported,
                 "a package is made where its files are: make {} here without --host, then push "
                 "it, or send it with "
                 "\"berth export\" and \"berth --host {} import\"",
                 request.target, server_.shown());
}

rt::Task<Result<control::TransferResult>> Transfers::transfer(rt::Op& op,
                                                              control::TransferRequest request,
                                                              control::Events&) {
  CO_TRY_OK(op.check());
  co_return fail(Code::kUnsupported,
                 "a transfer goes from registry to registry through this machine, with its logins: "
                 "run it without --host, as: berth transfer {} {}",
                 request.source, request.target);
}

rt::Task<Result<std::string>> Transfers::repackage(rt::Op& op, std::string source,
                                                   std::string target, std::uint64_t context_size) {
  const json::Object body{{"target", target}, {"context_size", context_size}};
  CO_TRY(const json::Value answer,
         co_await server_.json(op,
                               json_call("POST", path_of("/models/", source, "/repackage"), body)));
  co_return json::View(answer, "answer").string_or("target", target);
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> Transfers::export_tar(rt::Op& op, std::string model) {
  co_return co_await server_.stream(op, {.path = path_of("/models/", model, "/export")});
}

rt::Task<Result<std::vector<std::string>>> Transfers::import_tar(rt::Op& op, rt::Reader& tar,
                                                                 control::Events& events) {
  Call call{.method = "POST", .path = "/models/load"};
  call.headers.set("Content-Type", "application/x-tar");
  call.body = http::Body(std::make_unique<Borrowed>(tar), std::nullopt);
  CO_TRY(http::Response response, co_await server_.send(op, std::move(call)));
  CO_TRY(const json::Value success, co_await read_progress(op, std::move(response.body), events));
  co_return json::View(success, "success line").strings_or_empty("models");
}

}  // namespace berth::client
