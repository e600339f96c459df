#include "local/chat.h"

#include "http/sse.h"

namespace berth::local {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t kMaxErrorBody = 64 * 1024;

std::chrono::milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
}

Result<json::Value> response_format(const std::string& schema_text) {
  TRY(json::Value schema, json::parse(schema_text, "the JSON schema"));
  if (!schema.is_object()) return fail(Code::kInvalid, "the JSON schema is not a JSON object");
  json::Object inner;
  inner["name"] = "answer";
  inner["strict"] = true;
  inner["schema"] = std::move(schema);
  json::Object format;
  format["type"] = "json_schema";
  format["json_schema"] = std::move(inner);
  return json::Value(std::move(format));
}

// What the engine says went wrong: OpenAI's error object, or its text.
std::string error_text(const std::string& body) {
  const auto value = json::parse(body, "answer");
  if (value) {
    const json::View view(*value, "answer");
    if (const auto error = view.find("error")) {
      const auto message = error->string_or("message", "");
      if (message && !message->empty()) return printable(*message, 1000);
    }
  }
  return printable(body, 1000);
}

rt::Task<Result<http::Response>> ask(rt::Op& op, http::Service& engine, std::string body) {
  http::Request request;
  request.method = "POST";
  request.url.path = "/v1/chat/completions";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = http::Body(std::move(body));
  CO_TRY(http::Response response, co_await engine.handle(op, std::move(request)));
  if (response.status == 200) co_return std::move(response);
  const int status = response.status;
  CO_TRY(const std::string text, co_await http::read_all(op, std::move(response.body), kMaxErrorBody));
  const Code code = status >= 500 ? Code::kUnavailable : Code::kInvalid;
  co_return fail(code, "the engine answered {}: {}", status, error_text(text));
}

// Takes one event of the stream into stats and sink.
Status take(const json::View& event, control::ChatStats& stats, control::ChatSink& sink, Clock::time_point start) {
  if (const auto error = event.find("error")) {
    TRY(const std::string message, error->string_or("message", "the engine failed"));
    return fail(Code::kUnavailable, "the answer was cut: {}", printable(message, 1000));
  }
  TRY(const auto choices, event.array_or_empty("choices"));
  for (const json::View& choice : choices) {
    if (const auto delta = choice.find("delta")) {
      TRY(const std::string content, delta->string_or("content", ""));
      TRY(const std::string reasoning, delta->string_or("reasoning_content", ""));
      const bool first = stats.first_token.count() == 0 && !(content.empty() && reasoning.empty());
      if (first) stats.first_token = since(start);
      if (!reasoning.empty()) sink.on_reasoning(reasoning);
      if (!content.empty()) sink.on_content(content);
    }
    TRY(const std::string finish, choice.string_or("finish_reason", ""));
    if (!finish.empty()) stats.finish_reason = finish;
  }
  if (const auto usage = event.find("usage")) {
    TRY(stats.prompt_tokens, usage->u64_or("prompt_tokens", 0));
    TRY(stats.completion_tokens, usage->u64_or("completion_tokens", 0));
  }
  if (const auto timings = event.find("timings")) {
    TRY(stats.tokens_per_second, timings->number_or("predicted_per_second", stats.tokens_per_second));
  }
  return {};
}

}  // namespace

Result<std::string> chat_body(const control::ChatRequest& request) {
  json::Object body;
  body["model"] = request.model;
  body["messages"] = request.messages;
  body["stream"] = true;
  json::Object stream_options;
  stream_options["include_usage"] = true;
  body["stream_options"] = std::move(stream_options);
  const control::ChatOptions& options = request.options;
  if (options.temperature) body["temperature"] = *options.temperature;
  if (options.top_p) body["top_p"] = *options.top_p;
  if (options.max_tokens) body["max_tokens"] = *options.max_tokens;
  if (options.seed) body["seed"] = *options.seed;
  if (!options.json_schema.empty()) {
    TRY(body["response_format"], response_format(options.json_schema));
  }
  return json::serialize(body);
}

rt::Task<Result<control::ChatStats>> stream_chat(rt::Op& op, http::Service& engine, control::ChatRequest request,
                                                 control::ChatSink& sink) {
  CO_TRY(std::string body, chat_body(request));
  const auto start = Clock::now();
  CO_TRY(http::Response response, co_await ask(op, engine, std::move(body)));
  http::SseStream stream(std::move(response.body));
  control::ChatStats stats;
  while (true) {
    CO_TRY(const auto event, co_await stream.next(op));
    if (!event || event->data == "[DONE]") break;
    CO_TRY(const json::Value value, json::parse(event->data, "event of the engine"));
    CO_TRY_OK(take(json::View(value, "event"), stats, sink, start));
  }
  stats.total = since(start);
  if (stats.finish_reason.empty()) {
    co_return fail(Code::kUnavailable, "the engine stopped in the middle of its answer; see: berth logs");
  }
  const double seconds = static_cast<double>((stats.total - stats.first_token).count()) / 1e3;
  if (stats.tokens_per_second == 0 && seconds > 0) {
    stats.tokens_per_second = static_cast<double>(stats.completion_tokens) / seconds;
  }
  co_return stats;
}

}  // namespace berth::local
