#include "registryd/refusal.h"

#include "base/log.h"
#include "json/json.h"

namespace berth::registryd {
namespace {

struct Row {
  Code code;
  int status;
  std::string_view name;  // "" = the caller's
};

constexpr Row kRows[] = {
    {Code::kDigestMismatch, 400, "DIGEST_INVALID"},
    {Code::kTooLarge, 413, "SIZE_INVALID"},
    {Code::kBadRange, 416, "BLOB_UPLOAD_INVALID"},
    {Code::kUnauthenticated, 401, "UNAUTHORIZED"},
    {Code::kDenied, 403, "DENIED"},
    {Code::kConflict, 409, "DENIED"},
    {Code::kExhausted, 507, "DENIED"},
    {Code::kRateLimited, 429, "TOOMANYREQUESTS"},
    {Code::kNotAllowed, 405, "UNSUPPORTED"},
    {Code::kUnsupported, 405, "UNSUPPORTED"},
    // The server stops.
    {Code::kCancelled, 503, "UNAVAILABLE"},
    // The caller's body broke off.
    {Code::kUnavailable, 400, "BLOB_UPLOAD_INVALID"},
    {Code::kTimeout, 408, "BLOB_UPLOAD_INVALID"},
};

}  // namespace

http::Response refuse(int status, std::string_view code, std::string_view message) {
  json::Object error;
  error["code"] = code;
  error["message"] = message;
  return http::reply(status, "application/json",
                     json::serialize(json::Object{{"errors", json::Array{std::move(error)}}}));
}

http::Response refuse(const Error& error, std::string_view unknown, std::string_view invalid) {
  if (error.code() == Code::kNotFound) return refuse(404, unknown, error.message());
  if (error.code() == Code::kInvalid) return refuse(400, invalid, error.message());
  for (const Row& row : kRows) {
    if (row.code != error.code()) continue;
    http::Response response = refuse(row.status, row.name, error.message());
    if (error.retry_after())
      response.headers.set("Retry-After", fmt::format("{}", error.retry_after()->count()));
    if (error.code() == Code::kNotAllowed) response.headers.set("Allow", "GET, HEAD");
    return response;
  }
  if (error.code() == Code::kIo && error.retry_after()) {
    http::Response response = refuse(503, "UNAVAILABLE", error.message());
    response.headers.set("Retry-After", fmt::format("{}", error.retry_after()->count()));
    return response;
  }
  log::error("a request failed: {}", printable(error.message()));
  return refuse(500, "UNKNOWN", "the registry failed; its log says why");
}

http::Response refuse_read(const Error& error) {
  const Code code = error.code();
  if (code != Code::kUnavailable && code != Code::kTimeout)
    return refuse(error, "UNKNOWN", "UNKNOWN");
  http::Response response =
      refuse(code == Code::kTimeout ? 504 : 502, "UNAVAILABLE", error.message());
  if (error.retry_after())
    response.headers.set("Retry-After", fmt::format("{}", error.retry_after()->count()));
  return response;
}

}  // namespace berth::registryd
