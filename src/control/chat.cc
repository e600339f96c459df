#include "control/chat.h"

#include <utility>

#include "base/text.h"

namespace berth::control {
namespace {

constexpr std::size_t kMaxMessage = 2000;

std::chrono::milliseconds since(ChatFollower::Clock::time_point start) {
  const auto time =
      std::chrono::duration_cast<std::chrono::milliseconds>(ChatFollower::Clock::now() - start);
  return std::max(time, std::chrono::milliseconds(0));
}

Result<json::Value> response_format(const std::string& text) {
  TRY(json::Value schema, json::parse(text, "the JSON schema"));
  if (!schema.is_object()) return fail(Code::kInvalid, "the JSON schema is not a JSON object");
  return json::Value(
      {{"type", "json_schema"},
       {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}}}});
}

}  // namespace

Result<std::string> chat_body(const ChatRequest& request) {
  const ChatOptions& options = request.options;
  json::Object body{{"model", request.model},
                    {"messages", request.messages},
                    {"stream", true},
                    {"stream_options", {{"include_usage", true}}}};
  if (options.temperature) body["temperature"] = *options.temperature;
  if (options.top_p) body["top_p"] = *options.top_p;
  if (options.max_tokens) body["max_tokens"] = *options.max_tokens;
  if (options.seed) body["seed"] = *options.seed;
  if (!options.json_schema.empty()) {
    TRY(body["response_format"], response_format(options.json_schema));
  }
  return json::serialize(body);
}

std::string chat_error_text(std::string_view body) {
  const auto value = json::parse(body, "answer");
  if (value && value->is_object()) {
    if (const auto error = json::View(*value, "answer").find("error")) {
      const auto message =
          error->value().is_string() ? error->string() : error->string_or("message", "");
      if (message && !message->empty()) return printable(*message, kMaxMessage);
    }
  }
  return printable(trim(body), kMaxMessage);
}

Result<bool> ChatFollower::take(std::string_view data) {
  if (data == "[DONE]") return false;
  TRY(const json::Value value, json::parse(data, "event"));
  const json::View event(value, "event");
  if (value.is_object() && value.as_object().contains("error")) {
    return fail(Code::kUnavailable, "the answer was cut: {}", chat_error_text(data));
  }
  TRY(const auto choices, event.array_or_empty("choices"));
  for (const json::View& choice : choices) TRY_OK(take_choice(choice));
  if (const auto usage = event.find("usage")) {
    TRY(stats_.prompt_tokens, usage->u64_or("prompt_tokens", 0));
    TRY(stats_.completion_tokens, usage->u64_or("completion_tokens", 0));
  }
  if (const auto timings = event.find("timings")) {
    TRY(stats_.tokens_per_second,
        timings->number_or("predicted_per_second", stats_.tokens_per_second));
  }
  return true;
}

Status ChatFollower::take_choice(const json::View& choice) {
  if (const auto delta = choice.find("delta")) {
    TRY(const std::string content, delta->string_or("content", ""));
    TRY(const std::string reasoning, delta->string_or("reasoning_content", ""));
    if (!(content.empty() && reasoning.empty())) note_first_token();
    if (!reasoning.empty()) sink_.on_reasoning(reasoning);
    if (!content.empty()) sink_.on_content(content);
  }
  TRY(const std::string finish, choice.string_or("finish_reason", ""));
  if (!finish.empty()) {
    note_first_token();  // of an answer that only ends: its end is its first token
    stats_.finish_reason = finish;
  }
  return {};
}

void ChatFollower::note_first_token() {
  if (std::exchange(seen_token_, true)) return;
  stats_.first_token = since(start_);
}

Status ChatFollower::end() {
  stats_.total = since(start_);
  if (stats_.finish_reason.empty()) {
    return fail(Code::kUnavailable, "the answer stopped in the middle; see: berth logs");
  }
  const double seconds = std::chrono::duration<double>(stats_.total - stats_.first_token).count();
  if (stats_.tokens_per_second == 0 && seconds > 0) {
    stats_.tokens_per_second = static_cast<double>(stats_.completion_tokens) / seconds;
  }
  return {};
}

}  // namespace berth::control
