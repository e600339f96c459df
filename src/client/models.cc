#include "client/verbs.h"
#include "control/json.h"

namespace berth::client {
namespace {

Result<control::RemoveResult> removal_from_json(const json::View& view) {
  if (!view.value().is_object()) return control::removed_from_json(view);
  TRY(const json::View removed, view.at("removed"));
  TRY(control::RemoveResult result, control::removed_from_json(removed));
  TRY(result.freed, view.u64_or("freed", 0));
  return result;
}

}  // namespace

rt::Task<Result<std::vector<control::Model>>> Models::list(rt::Op& op) {
  CO_TRY(const json::Value body, co_await server_.json(op, {.path = "/models"}));
  CO_TRY(const auto items, json::View(body, "models").array());
  std::vector<control::Model> models;
  for (const json::View& item : items) {
    CO_TRY(control::Model model, control::model_from_json(item));
    models.push_back(std::move(model));
  }
  co_return models;
}

rt::Task<Result<control::ModelDetail>> Models::inspect(rt::Op& op, std::string model, bool remote) {
  CO_TRY(const bool berth, co_await server_.is_berth(op));
  Call call{.path = path_of(berth ? "/berth/v1/models/" : "/models/", model)};
  if (remote) call.query = "remote=true";
  CO_TRY(const json::Value body, co_await server_.json(op, std::move(call)));
  co_return control::detail_from_json(json::View(body, "model"));
}

rt::Task<Result<std::string>> Models::tag(rt::Op& op, std::string source, std::string target) {
  CO_TRY(const oci::Reference reference, oci::parse_reference(target, server_.defaults()));
  if (reference.digest)
    co_return fail(Code::kInvalid, "{} names a digest; a tag has the form name:tag", target);
  Call call{.method = "POST", .path = path_of("/models/", source, "/tag")};
  call.query = "repo=" + http::percent_encode(reference.repository_string()) +
               "&tag=" + http::percent_encode(reference.tag);
  CO_TRY_OK(co_await server_.done(op, std::move(call)));
  co_return reference.string();
}

rt::Task<Result<control::RemoveResult>> Models::remove(rt::Op& op, std::string model, bool force) {
  CO_TRY(const bool berth, co_await server_.is_berth(op));
  Call call{.method = "DELETE", .path = path_of(berth ? "/berth/v1/models/" : "/models/", model)};
  if (force) call.query = "force=true";
  CO_TRY(const json::Value body, co_await server_.json(op, std::move(call)));
  co_return removal_from_json(json::View(body, "answer"));
}

rt::Task<Result<control::RemoveResult>> Models::purge(rt::Op& op) {
  CO_TRY(const bool berth, co_await server_.is_berth(op));
  if (!berth) {
    CO_TRY_OK(co_await server_.done(op, {.method = "DELETE", .path = "/models/purge"}));
    co_return control::RemoveResult();
  }
  CO_TRY(const json::Value body,
         co_await server_.json(op, {.method = "POST", .path = "/berth/v1/purge"}));
  co_return removal_from_json(json::View(body, "answer"));
}

rt::Task<Result<control::PruneResult>> Models::prune(rt::Op& op, bool dry_run) {
  CO_TRY_OK(co_await server_.need_berth(op, "prune"));
  Call call{.method = "POST", .path = "/berth/v1/prune", .query = dry_run ? "dry_run=true" : ""};
  CO_TRY(const json::Value body, co_await server_.json(op, std::move(call)));
  const json::View view(body, "answer");
  control::PruneResult result;
  CO_TRY(result.dry_run, view.boolean_or("dry_run", dry_run));
  CO_TRY(result.blobs, view.strings_or_empty("blobs"));
  CO_TRY(result.ingests, view.strings_or_empty("ingests"));
  CO_TRY(result.freed, view.u64_or("freed", 0));
  co_return result;
}

}  // namespace berth::client
