#include "base/text.h"
#include "client/verbs.h"
#include "control/chat.h"
#include "control/json.h"
#include "http/sse.h"

namespace berth::client {
namespace {

// What a Berth server says about the engine in its headers.
void describe(const http::Headers& headers, control::ChatStats& stats) {
  const auto load = headers.get("X-Berth-Load-Ms");
  if (const auto ms = load ? parse_u64(*load) : std::nullopt) {
    stats.load = std::chrono::milliseconds(std::min<std::uint64_t>(*ms, 86'400'000));
  }
  stats.device = printable(headers.get("X-Berth-Device").value_or(""), 200);
}

}  // namespace

rt::Task<Result<std::vector<control::RunningModel>>> Runs::ps(rt::Op& op) {
  CO_TRY(const json::Value body, co_await server_.json(op, {.path = "/engines/ps"}));
  CO_TRY(const auto items, json::View(body, "ps").array());
  std::vector<control::RunningModel> models;
  for (const json::View& item : items) {
    CO_TRY(control::RunningModel model, control::running_from_json(item));
    models.push_back(std::move(model));
  }
  co_return models;
}

rt::Task<Result<std::uint64_t>> Runs::unload(rt::Op& op, control::UnloadRequest request) {
  CO_TRY(const json::Value body, co_await server_.json(op, json_call("POST", "/engines/unload",
                                                                     control::to_json(request))));
  co_return json::View(body, "answer").u64_or("unloaded_runners", 0);
}

rt::Task<Status> Runs::configure(rt::Op& op, control::Configuration configuration) {
  co_return co_await server_.done(
      op, json_call("POST", "/engines/_configure", control::to_json(configuration)));
}

rt::Task<Result<std::vector<control::ConfigurationEntry>>> Runs::configurations(rt::Op& op,
                                                                                std::string model) {
  Call call{.path = "/engines/_configure"};
  if (!model.empty()) call.query = "model=" + http::percent_encode(model);
  CO_TRY(const json::Value body, co_await server_.json(op, std::move(call)));
  CO_TRY(const auto items, json::View(body, "configurations").array());
  std::vector<control::ConfigurationEntry> entries;
  for (const json::View& item : items) {
    CO_TRY(control::ConfigurationEntry entry, control::configuration_entry_from_json(item));
    entries.push_back(std::move(entry));
  }
  co_return entries;
}

rt::Task<Result<http::Response>> Runs::ask(rt::Op& op, const control::ChatRequest& request) {
  Call call{.method = "POST", .path = "/engines/v1/chat/completions"};
  call.headers.set("Content-Type", "application/json");
  if (request.preload_only) call.headers.set("X-Preload-Only", "true");
  if (request.options.context_size) {
    CO_TRY_OK(co_await server_.need_berth(
        op, "take a context size for one answer (configure the model instead)"));
    call.headers.set("X-Berth-Context-Size", fmt::format("{}", *request.options.context_size));
  }
  CO_TRY(std::string body, control::chat_body(request));
  call.body = http::Body(std::move(body));
  co_return co_await server_.send(op, std::move(call));
}

rt::Task<Result<control::ChatStats>> Runs::chat(rt::Op& op, control::ChatRequest request,
                                                control::ChatSink& sink) {
  if (request.no_sandbox)
    sink.on_status("the server decides about its sandbox, so --no-sandbox changes nothing here");
  const auto start = std::chrono::steady_clock::now();
  CO_TRY(http::Response response, co_await ask(op, request));
  control::ChatStats stats;
  describe(response.headers, stats);
  if (request.preload_only) co_return stats;
  http::SseStream stream(std::move(response.body));
  control::ChatFollower follower(stats, sink, start + stats.load);
  CO_TRY_OK(co_await control::follow_chat(op, stream, follower));
  co_return stats;
}

}  // namespace berth::client
