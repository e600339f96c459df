#include "api/errors.h"

#include <array>

#include "base/assert.h"

namespace berth::api {
namespace {

struct Row {
  Code code;
  int status;
  std::string_view type;  // OpenAI's and Anthropic's word
};

constexpr std::array<Row, kCodeCount> kRows = {{
    {Code::kInvalid, 400, "invalid_request_error"},
    {Code::kNotFound, 404, "not_found_error"},
    {Code::kConflict, 409, "conflict_error"},
    {Code::kDenied, 403, "permission_error"},
    {Code::kUnauthenticated, 401, "authentication_error"},
    {Code::kDigestMismatch, 500, "server_error"},
    {Code::kCorrupt, 500, "server_error"},
    {Code::kTooLarge, 413, "invalid_request_error"},
    {Code::kUnavailable, 502, "server_error"},
    {Code::kTimeout, 504, "server_error"},
    {Code::kCancelled, 499, "server_error"},
    {Code::kExhausted, 507, "server_error"},
    {Code::kRateLimited, 429, "rate_limit_error"},
    {Code::kBadRange, 416, "invalid_request_error"},
    {Code::kNotAllowed, 405, "invalid_request_error"},
    {Code::kUnsupported, 501, "invalid_request_error"},
    {Code::kIo, 500, "server_error"},
    {Code::kInternal, 500, "server_error"},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].code) != i) return false;
  }
  return true;
}
static_assert(in_order());

const Row& row(Code code) { return kRows[static_cast<std::size_t>(code)]; }

Response text_error(const Error& error) {
  Response response =
      http::reply(http_status(error.code()), "text/plain; charset=utf-8", error.message() + "\n");
  response.headers.set("X-Content-Type-Options", "nosniff");
  return response;
}

}  // namespace

int http_status(Code code) { return row(code).status; }

json::Object error_object(const Error& error, ErrorForm form) {
  json::Object inner{{"message", error.message()}, {"type", row(error.code()).type}};
  if (form == ErrorForm::kAnthropic) return {{"type", "error"}, {"error", std::move(inner)}};
  inner["param"] = nullptr;
  inner["code"] = to_string(error.code());
  return {{"error", std::move(inner)}};
}

Response error_response(const Error& error, ErrorForm form) {
  Response response = form == ErrorForm::kText
                          ? text_error(error)
                          : json_reply(http_status(error.code()), error_object(error, form));
  if (const auto after = error.retry_after())
    response.headers.set("Retry-After", fmt::format("{}", after->count()));
  if (error.code() == Code::kUnauthenticated)
    response.headers.set("WWW-Authenticate", "Bearer realm=\"berth\"");
  return response;
}

}  // namespace berth::api
