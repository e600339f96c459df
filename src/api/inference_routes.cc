#include "api/inference_routes.h"

#include <array>

#include "api/engine_routes.h"
#include "api/json_scan.h"
#include "api/model_routes.h"
#include "base/log.h"
#include "base/text.h"
#include "control/json.h"

namespace berth::api {
namespace {

// An answer that is no event stream is held until it is whole; embeddings of many texts are the
// longest.
constexpr std::uint64_t kMaxAnswer = 512u << 20;

const std::vector<InferencePath>& openai_paths() {
  static const std::vector<InferencePath> paths = {
      {"/chat/completions", "/v1/chat/completions", Mode::kCompletion},
      {"/completions", "/v1/completions", Mode::kCompletion},
      {"/embeddings", "/v1/embeddings", Mode::kEmbedding},
      {"/rerank", "/v1/rerank", Mode::kReranking},
      {"/score", "", Mode::kReranking},
      {"/images/generations", "", Mode::kCompletion},
      {"/messages", "/v1/messages", Mode::kCompletion, ErrorForm::kAnthropic},
      {"/messages/count_tokens", "/v1/messages/count_tokens", Mode::kCompletion,
       ErrorForm::kAnthropic},
  };
  return paths;
}

// Outside of /v1: Docker Model Runner's own places.
const std::vector<InferencePath>& bare_paths() {
  static const std::vector<InferencePath> paths = {
      {"/rerank", "/v1/rerank", Mode::kReranking},
      {"/score", "", Mode::kReranking},
  };
  return paths;
}

bool is_event_stream(const Response& response) {
  const auto type = response.headers.get("Content-Type");
  return type && type->starts_with("text/event-stream");
}

Result<std::string> model_of(std::string_view body) {
  TRY(auto model, top_level_string(body, "model"));
  if (!model || trim(*model).empty())
    return fail(Code::kInvalid, "model is required: the body has no \"model\"");
  return std::move(*model);
}

// Berth's client asks so for a context size of its own.
Result<std::optional<std::uint64_t>> context_size_of(const Request& request) {
  const auto header = request.headers.get("X-Berth-Context-Size");
  if (!header) return std::nullopt;
  const auto size = parse_u64(*header);
  if (size && *size > 0) return size;
  return fail(Code::kInvalid, "X-Berth-Context-Size is not a number of tokens: {}",
              printable(*header, 40));
}

// Stock clients ask for "//engines/…", which the router takes for "/engines/…".
std::string collapsed(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || !out.ends_with('/')) out.push_back(c);
  }
  return out;
}

Exchange exchange_of(const Request& request, const std::string& model, ErrorForm errors) {
  Exchange exchange{.model = model, .errors = errors};
  exchange.record.model = model;
  exchange.record.method = request.method;
  exchange.record.url = collapsed(request.url.path);
  exchange.record.time = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  exchange.record.user_agent = printable(request.headers.get("User-Agent").value_or(""), 200);
  exchange.record.origin = printable(request.headers.get("X-Request-Origin").value_or(""), 100);
  return exchange;
}

// What only Berth's own client reads.
void describe(const EngineInfo& engine, Response& response) {
  response.headers.set("X-Berth-Load-Ms", fmt::format("{}", engine.load_time.count()));
  if (!engine.device.empty()) response.headers.set("X-Berth-Device", printable(engine.device, 200));
}

std::string model_id(const control::Model& model) {
  return model.tags.empty() ? model.id : model.tags.front();
}

}  // namespace

void InferenceRoutes::add(Routes& routes, const std::string& prefix, const InferencePath& kind) {
  Handler handler = [this, &kind](rt::Op& op, Request request, Params params) {
    return infer(op, std::move(request), std::move(params), kind);
  };
  routes.push_back(
      {"POST", prefix + kind.path, guard::Scope::kInference, kind.errors, std::move(handler)});
}

Routes InferenceRoutes::routes() {
  Routes routes;
  for (const std::string prefix : {"/engines/{backend}", "/engines", ""}) {
    for (const InferencePath& kind : openai_paths()) add(routes, prefix + "/v1", kind);
    for (const InferencePath& kind : bare_paths()) add(routes, prefix, kind);
    routes.push_back({"GET", prefix + "/v1/models", guard::Scope::kRead, ErrorForm::kOpenAi,
                      bind(this, &InferenceRoutes::list)});
    routes.push_back({"GET", prefix + "/v1/models/{name...}", guard::Scope::kRead,
                      ErrorForm::kOpenAi, bind(this, &InferenceRoutes::get)});
    for (const char* path : {"/v1/responses", "/v1/responses/{rest...}"}) {
      routes.push_back({"*", prefix + path, guard::Scope::kInference, ErrorForm::kOpenAi,
                        bind(this, &InferenceRoutes::not_here)});
    }
  }
  for (const InferencePath& kind : openai_paths()) {
    if (kind.errors == ErrorForm::kAnthropic) add(routes, "/anthropic/v1", kind);
  }
  for (const char* path : {"/responses", "/responses/{rest...}", "/engines/responses",
                           "/engines/responses/{rest...}", "/api/{rest...}"}) {
    routes.push_back({"*", path, guard::Scope::kInference, ErrorForm::kOpenAi,
                      bind(this, &InferenceRoutes::not_here)});
  }
  return routes;
}

InferenceRoutes::Answer InferenceRoutes::infer(rt::Op& op, Request request, Params params,
                                               const InferencePath& kind) {
  Wanted wanted{.mode = kind.mode, .backend = params.get("backend")};
  CO_TRY_OK(check_backend(wanted.backend));
  if (kind.engine_path.empty())
    co_return co_await not_here(op, std::move(request), std::move(params));
  CO_TRY(std::string body,
         in_context(co_await http::read_all(op, std::move(request.body), context_.options.max_body),
                    "invalid request"));
  request.body = {};
  CO_TRY(wanted.model, model_of(body));
  CO_TRY(wanted.context_size, context_size_of(request));
  const auto preload_only = request.headers.get("X-Preload-Only");
  if (preload_only && *preload_only == "true") co_return co_await preload(op, std::move(wanted));
  Exchange exchange = exchange_of(request, wanted.model, kind.errors);
  if (ledger_.recording()) exchange.record.request = body.substr(0, Recorder::kMaxBody + 1);
  auto begun = co_await begin(op, std::move(wanted), kind, std::move(request), std::move(body));
  if (!begun) {
    exchange.record.error = begun.error().message();
    ledger_.record(exchange.model, std::move(exchange.record));
    co_return std::unexpected(std::move(begun.error()));
  }
  exchange.start += begun->engine->info().load_time;
  ledger_.first_byte(begun->engine->info(), exchange);
  co_return co_await finish(op, std::move(*begun), std::move(exchange));
}

InferenceRoutes::Answer InferenceRoutes::preload(rt::Op& op, Wanted wanted) {
  CO_TRY(const auto engine, co_await context_.engines.acquire(op, std::move(wanted)));
  ledger_.loaded(engine->info());
  Response response{.status = 200, .headers = {}, .body = {}};
  describe(engine->info(), response);
  co_return response;
}

rt::Task<Result<InferenceRoutes::Begun>> InferenceRoutes::begin(rt::Op& op, Wanted wanted,
                                                                const InferencePath& kind,
                                                                Request forwarded,
                                                                std::string body) {
  for (int attempt = 0;; ++attempt) {
    Begun begun;
    CO_TRY(begun.engine, co_await context_.engines.acquire(op, wanted));
    ledger_.loaded(begun.engine->info());
    auto first = co_await ask(op, *begun.engine, kind, forwarded, body, begun.response);
    if (first) {
      begun.first = std::move(*first);
      co_return std::move(begun);
    }
    CO_TRY_OK(op.check());
    const std::string death = begun.engine->death();
    const Error error = death.empty() ? first.error() : Error(Code::kUnavailable, death);
    if (attempt > 0 || first.error().code() != Code::kUnavailable) co_return std::unexpected(error);
    log::warning("{}: the engine ended before it answered, so it is asked once more: {}",
                 printable(wanted.model, 200), error.message());
  }
}

// Sends the request and waits for the first bytes of the answer, which are returned.
rt::Task<Result<std::string>> InferenceRoutes::ask(rt::Op& op, Engine& engine,
                                                   const InferencePath& kind, const Request& like,
                                                   std::string body, Response& response) {
  Request request;
  request.method = "POST";
  request.url.path = kind.engine_path;
  request.headers.set("Content-Type", "application/json");
  for (const char* name : {"Accept", "anthropic-version"}) {
    if (const auto value = like.headers.get(name)) request.headers.set(name, *value);
  }
  request.body = http::Body(std::move(body));
  CO_TRY(response, co_await engine.service().handle(op, std::move(request)));
  auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&response.body.content);
  if (!reader || !*reader) co_return std::string();
  std::array<std::byte, 16 * 1024> chunk;
  CO_TRY(const std::size_t count, co_await (*reader)->read(op, chunk));
  co_return std::string(as_text(Bytes(chunk).first(count)));
}

InferenceRoutes::Answer InferenceRoutes::finish(rt::Op& op, Begun begun, Exchange exchange) {
  Response response{.status = begun.response.status, .headers = {}, .body = {}};
  response.headers.set("Content-Type",
                       begun.response.headers.get("Content-Type").value_or("application/json"));
  describe(begun.engine->info(), response);
  auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&begun.response.body.content);
  if (reader && is_event_stream(begun.response)) {
    response.headers.set("Cache-Control", "no-cache");
    response.body = http::Body(relay_events(ledger_, std::move(begun.engine), std::move(exchange),
                                            std::move(*reader), std::move(begun.first)),
                               std::nullopt);
    co_return response;
  }
  std::string text = std::move(begun.first);
  CO_TRY(const std::string rest,
         co_await http::read_all(op, std::move(begun.response.body), kMaxAnswer));
  text += rest;
  replace_model(text, json_quoted(exchange.model));
  ledger_.ended(begun.engine->info(), exchange, text);
  exchange.record.status = response.status;
  if (ledger_.recording()) exchange.record.response = text.substr(0, Recorder::kMaxBody + 1);
  ledger_.record(begun.engine->info().model, std::move(exchange.record));
  response.body = http::Body(std::move(text));
  co_return response;
}

InferenceRoutes::Answer InferenceRoutes::list(rt::Op& op, Request, Params params) {
  CO_TRY_OK(check_backend(params.get("backend")));
  CO_TRY(const auto models, co_await context_.services.models.list(op));
  json::Array data;
  for (const control::Model& model : models)
    data.push_back(control::openai_model(model, model_id(model)));
  co_return json_reply(200, json::Object{{"object", "list"}, {"data", std::move(data)}});
}

InferenceRoutes::Answer InferenceRoutes::get(rt::Op& op, Request, Params params) {
  CO_TRY_OK(check_backend(params.get("backend")));
  CO_TRY(const auto detail, co_await find_detail(op, context_.services.models, params.get("name")));
  co_return json_reply(200, control::openai_model(detail.model, model_id(detail.model)));
}

InferenceRoutes::Answer InferenceRoutes::not_here(rt::Op& op, Request request, Params) {
  CO_TRY_OK(op.check());
  co_return fail(Code::kUnsupported,
                 "{} is not in this version; there are chat/completions, completions, embeddings, "
                 "rerank, messages and models",
                 printable(request.url.path, 200));
}

}  // namespace berth::api
