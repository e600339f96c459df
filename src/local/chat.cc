#include "local/chat.h"

#include "control/chat.h"
#include "http/sse.h"

namespace berth::local {
namespace {

constexpr std::uint64_t kMaxErrorBody = 64 * 1024;

rt::Task<Result<http::Response>> ask(rt::Op& op, http::Service& engine, std::string body) {
  http::Request request;
  request.method = "POST";
  request.url.path = "/v1/chat/completions";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = http::Body(std::move(body));
  CO_TRY(http::Response response, co_await engine.handle(op, std::move(request)));
  if (response.status == 200) co_return std::move(response);
  const int status = response.status;
  CO_TRY(const std::string text,
         co_await http::read_all(op, std::move(response.body), kMaxErrorBody));
  const Code code = status >= 500 ? Code::kUnavailable : Code::kInvalid;
  co_return fail(code, "the engine answered {}: {}", status, control::chat_error_text(text));
}

}  // namespace

rt::Task<Result<control::ChatStats>> stream_chat(rt::Op& op, http::Service& engine,
                                                 control::ChatRequest request,
                                                 control::ChatSink& sink) {
  CO_TRY(std::string body, control::chat_body(request));
  control::ChatStats stats;
  control::ChatFollower follower(stats, sink, std::chrono::steady_clock::now());
  CO_TRY(http::Response response, co_await ask(op, engine, std::move(body)));
  http::SseStream stream(std::move(response.body));
  CO_TRY_OK(co_await control::follow_chat(op, stream, follower));
  co_return stats;
}

}  // namespace berth::local
