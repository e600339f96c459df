#include "api/model_routes.h"

#include "base/text.h"
#include "control/json.h"

namespace berth::api {
namespace {

constexpr std::string_view kTar = "application/x-tar";

Escape escape_for(const Request& request) {
  const auto accept = request.headers.get("Accept");
  return accept && *accept == "application/json" ? Escape::kNone : Escape::kHtml;
}

// "docker.io/ai/smollm2:latest" -> "smollm2:latest".
std::string_view last_part(std::string_view tag) { return tag.substr(tag.rfind('/') + 1); }

bool is_partial_name(const std::string& tag, const std::string& name) {
  const std::string_view last = last_part(tag);
  return last == name || last.substr(0, last.find(':')) == name;
}

// What was sent is damaged: the sender's fault, and not the server's as it is for what lies here.
bool is_fault_of_content(Code code) {
  return code == Code::kCorrupt || code == Code::kDigestMismatch;
}

// Takes in events that nobody waits for.
struct NoEvents : control::Events {
  void on(const control::Event&) override {}
};

}  // namespace

rt::Task<Result<control::ModelDetail>> find_detail(rt::Op& op, control::Models& models,
                                                   std::string name) {
  auto found = co_await models.inspect(op, name, false);
  if (found || found.error().code() != Code::kNotFound || name.find('/') != std::string::npos) {
    co_return std::move(found);
  }
  CO_TRY(const auto all, co_await models.list(op));
  for (const control::Model& model : all) {
    for (const std::string& tag : model.tags) {
      if (is_partial_name(tag, name)) co_return co_await models.inspect(op, tag, false);
    }
  }
  co_return std::move(found);
}

Routes ModelRoutes::routes() {
  using guard::Scope;
  return {
      {"GET", "/models", Scope::kRead, ErrorForm::kText, bind(this, &ModelRoutes::list)},
      {"GET", "/models/{name...}", Scope::kRead, ErrorForm::kText, bind(this, &ModelRoutes::get)},
      {"GET", "/models/{name...}/export", Scope::kRead, ErrorForm::kText,
       bind(this, &ModelRoutes::export_tar)},
      {"POST", "/models/create", Scope::kManage, ErrorForm::kText,
       bind(this, &ModelRoutes::create)},
      {"POST", "/models/load", Scope::kManage, ErrorForm::kText, bind(this, &ModelRoutes::load)},
      {"POST", "/models/{name...}/tag", Scope::kManage, ErrorForm::kText,
       bind(this, &ModelRoutes::tag)},
      {"POST", "/models/{name...}/push", Scope::kManage, ErrorForm::kText,
       bind(this, &ModelRoutes::push)},
      {"POST", "/models/{name...}/repackage", Scope::kManage, ErrorForm::kText,
       bind(this, &ModelRoutes::repackage)},
      {"DELETE", "/models/{name...}", Scope::kManage, ErrorForm::kText,
       bind(this, &ModelRoutes::remove)},
      {"DELETE", "/models/purge", Scope::kManage, ErrorForm::kText,
       bind(this, &ModelRoutes::purge)},
  };
}

ModelRoutes::Answer ModelRoutes::list(rt::Op& op, Request, Params) {
  CO_TRY(const auto models, co_await context_.services.models.list(op));
  json::Array array;
  for (const control::Model& model : models) array.push_back(control::to_json(model));
  co_return json_reply(200, array);
}

ModelRoutes::Answer ModelRoutes::get(rt::Op& op, Request request, Params params) {
  control::Models& models = context_.services.models;
  if (query_flag(request, "remote")) {
    CO_TRY(control::ModelDetail remote, co_await models.inspect(op, params.get("name"), true));
    remote.model.tags.clear();
    co_return json_reply(200, control::to_json(remote.model));
  }
  CO_TRY(const auto detail, co_await find_detail(op, models, params.get("name")));
  co_return json_reply(200, control::to_json(detail.model));
}

ModelRoutes::Answer ModelRoutes::export_tar(rt::Op& op, Request, Params params) {
  auto tar = co_await context_.services.transfers.export_tar(op, params.get("name"));
  if (!tar && tar.error().code() == Code::kNotFound) {
    // A model may itself be called "…/export".
    auto detail =
        co_await context_.services.models.inspect(op, params.get("name") + "/export", false);
    if (detail) co_return json_reply(200, control::to_json(detail->model));
  }
  if (!tar) co_return std::unexpected(std::move(tar.error()));
  Response response{
      .status = 200, .headers = {}, .body = http::Body(std::move(*tar), std::nullopt)};
  response.headers.set("Content-Type", kTar);
  response.headers.set("Content-Disposition", "attachment; filename=\"model.tar\"");
  co_return response;
}

ModelRoutes::Answer ModelRoutes::create(rt::Op& op, Request request, Params) {
  const Escape escape = escape_for(request);
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  const json::View view(body, "body");
  control::PullRequest pull;
  CO_TRY(pull.model, view.string_or("from", ""));
  CO_TRY(pull.bearer_token, view.string_or("bearer-token", ""));
  CO_TRY(pull.platform, view.string_or("platform", ""));
  CO_TRY(pull.include, view.strings_or_empty("include"));
  if (pull.model.empty())
    co_return fail(Code::kInvalid, "the body has no \"from\", the model to pull");
  auto run = std::make_shared<ProgressRun>(context_.loop, op_, "pull", escape);
  transfers_.spawn(run_pull(run, context_.services.transfers, std::move(pull)));
  auto answer = co_await stream(op, std::move(run), escape);
  if (!answer && answer.error().code() == Code::kUnsupported) {
    co_return http::reply(422, "text/plain; charset=utf-8", answer.error().message() + "\n");
  }
  co_return std::move(answer);
}

rt::Task<Status> ModelRoutes::run_pull(std::shared_ptr<ProgressRun> run,
                                       control::Transfers& transfers,
                                       control::PullRequest request) {
  auto result = co_await transfers.pull(run->op(), std::move(request), *run);
  if (!result) {
    run->fail_with(std::move(result.error()));
  } else if (result->cached) {
    run->succeed("Using cached model: " + format_size(result->size), control::to_json(*result));
  } else {
    run->succeed("Model pulled successfully", control::to_json(*result));
  }
  co_return Status();
}

ModelRoutes::Answer ModelRoutes::push(rt::Op& op, Request request, Params params) {
  const Escape escape = escape_for(request);
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  control::PushRequest push{.model = params.get("name")};
  CO_TRY(push.bearer_token, json::View(body, "body").string_or("bearer-token", ""));
  auto run = std::make_shared<ProgressRun>(context_.loop, op_, "push", escape);
  transfers_.spawn(run_push(run, context_.services.transfers, std::move(push)));
  co_return co_await stream(op, std::move(run), escape);
}

rt::Task<Status> ModelRoutes::run_push(std::shared_ptr<ProgressRun> run,
                                       control::Transfers& transfers,
                                       control::PushRequest request) {
  auto result = co_await transfers.push(run->op(), std::move(request), *run);
  if (result) {
    run->succeed("Model pushed successfully", control::to_json(*result));
  } else {
    run->fail_with(std::move(result.error()));
  }
  co_return Status();
}

ModelRoutes::Answer ModelRoutes::stream(rt::Op& op, std::shared_ptr<ProgressRun> run,
                                        Escape escape) {
  CO_TRY_OK(co_await run->begun(op));
  Response response{
      .status = 200, .headers = {}, .body = http::Body(ProgressRun::lines(run), std::nullopt)};
  response.headers.set("Content-Type", escape == Escape::kNone ? "application/json" : "text/plain");
  co_return response;
}

// The whole tar is read before anything is answered: a client that is still sending must not have
// to read.
ModelRoutes::Answer ModelRoutes::load(rt::Op& op, Request request, Params) {
  auto* tar = std::get_if<std::unique_ptr<rt::Reader>>(&request.body.content);
  if (!tar || !*tar) co_return fail(Code::kInvalid, "the body is empty; send the tar of a model");
  NoEvents events;
  auto imported = co_await context_.services.transfers.import_tar(op, **tar, events);
  if (!imported && is_fault_of_content(imported.error().code()))
    co_return http::reply(400, "text/plain; charset=utf-8", imported.error().message() + "\n");
  CO_TRY(const auto names, std::move(imported));
  json::Array models;
  for (const std::string& name : names) models.emplace_back(name);
  const json::Object line{
      {"type", "success"}, {"message", "Model loaded successfully"}, {"models", std::move(models)}};
  co_return http::reply(200, "application/json", json::serialize(line) + "\n");
}

ModelRoutes::Answer ModelRoutes::tag(rt::Op& op, Request request, Params params) {
  const auto repository = http::query_get(request.url.query, "repo");
  const auto tag = http::query_get(request.url.query, "tag");
  if (!repository || repository->empty() || !tag || tag->empty()) {
    co_return fail(Code::kInvalid, "tagging needs the query parameters \"repo\" and \"tag\"");
  }
  CO_TRY(const std::string target,
         co_await context_.services.models.tag(op, params.get("name"), *repository + ":" + *tag));
  co_return json_reply(
      201, json::Object{{"message", fmt::format("Model tagged successfully with \"{}\"", target)},
                        {"target", target}});
}

ModelRoutes::Answer ModelRoutes::repackage(rt::Op& op, Request request, Params params) {
  CO_TRY(const json::Value body, co_await read_json(op, std::move(request.body)));
  const json::View view(body, "body");
  CO_TRY(std::string target, view.string_or("target", ""));
  CO_TRY(const std::uint64_t context_size, view.u64_or("context_size", 0));
  if (target.empty())
    co_return fail(Code::kInvalid, "the body has no \"target\", the name of the new model");
  const std::string source = params.get("name");
  CO_TRY(const std::string full, co_await context_.services.transfers.repackage(
                                     op, source, std::move(target), context_size));
  co_return json_reply(
      201, json::Object{{"message", fmt::format("Model repackaged successfully as \"{}\"", full)},
                        {"source", source},
                        {"target", full}});
}

ModelRoutes::Answer ModelRoutes::remove(rt::Op& op, Request request, Params params) {
  CO_TRY(const auto result, co_await context_.services.models.remove(op, params.get("name"),
                                                                     query_flag(request, "force")));
  co_return json_reply(200, control::removed_to_json(result));
}

ModelRoutes::Answer ModelRoutes::purge(rt::Op& op, Request, Params) {
  CO_TRY_OK(co_await context_.services.models.purge(op));
  co_return Response{.status = 200, .headers = {}, .body = {}};
}

}  // namespace berth::api
