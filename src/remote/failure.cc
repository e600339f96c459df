#include "remote/failure.h"

#include <algorithm>
#include <chrono>

#include "json/json.h"
#include "remote/field.h"

namespace berth::remote {
namespace {

constexpr std::uint64_t kMaxErrorBody = 64 * 1024;
constexpr std::size_t kMaxErrorsShown = 3;
constexpr std::size_t kMaxTextShown = 300;

struct Row {
  int status;
  Code code;
  std::string_view fact;         // {0}: the registry
  std::string_view advice = {};  // what to do
};

constexpr Row kRows[] = {
    {400, Code::kInvalid, "{0} refused the request"},
    {401, Code::kUnauthenticated, "access to {0} denied", "log in with: berth login {0}"},
    {403, Code::kDenied, "access to {0} denied for this account",
     "log in with another: berth login {0}"},
    {404, Code::kNotFound, "{0} does not have it"},
    {405, Code::kNotAllowed, "{0} does not allow it"},
    {408, Code::kUnavailable, "{0} waited too long for the request"},
    {413, Code::kTooLarge, "it is larger than {0} accepts"},
    {416, Code::kBadRange, "{0} does not accept the range"},
    {429, Code::kRateLimited, "{0} limits the rate of requests",
     "wait, or log in for a higher limit: berth login {0}"},
    {501, Code::kNotAllowed, "{0} does not support it"},
};

Row row_of(int status) {
  const auto* found = std::ranges::find(kRows, status, &Row::status);
  if (found != std::end(kRows)) return *found;
  if (status >= 500) return {status, Code::kUnavailable, "{0} failed", "try again later"};
  if (status >= 400) return {status, Code::kInvalid, "{0} refused the request"};
  return {status, Code::kCorrupt, "{0} gave an answer that does not fit the request"};
}

// Codes that say more than the status does.
Code refined(Code code, const RegistryErrors& errors) {
  if (code != Code::kInvalid) return code;
  if (errors.has("DIGEST_INVALID")) return Code::kDigestMismatch;
  if (errors.has("UNSUPPORTED")) return Code::kNotAllowed;
  if (errors.has("DENIED")) return Code::kDenied;
  if (errors.has("TOOMANYREQUESTS")) return Code::kRateLimited;
  return code;
}

std::string describe_error(const json::View& entry, std::vector<std::string>& codes) {
  const std::string code = entry.string_or("code", "").value_or("");
  const std::string message = entry.string_or("message", "").value_or("");
  if (!code.empty()) codes.push_back(code);
  if (code.empty() || message.empty()) return code + message;
  return code + ": " + message;
}

}  // namespace

bool RegistryErrors::has(std::string_view code) const {
  return std::ranges::find(codes, code) != codes.end();
}

RegistryErrors parse_errors(std::string_view body) {
  RegistryErrors found;
  const auto value = json::parse(body, "error body", {.bytes = kMaxErrorBody, .depth = 16});
  if (!value || !value->is_object()) return found;
  const auto errors = json::View(*value, "").array_or_empty("errors");
  if (!errors) return found;
  for (const json::View& entry : *errors) {
    if (found.codes.size() == kMaxErrorsShown || !entry.value().is_object()) break;
    const std::string text = describe_error(entry, found.codes);
    if (!text.empty()) found.text += (found.text.empty() ? "" : "; ") + text;
  }
  found.text = printable(found.text, kMaxTextShown);
  return found;
}

Error answer_error(std::string_view doing, std::string_view registry, int status,
                   const http::Headers& headers, std::string_view body) {
  const RegistryErrors errors = parse_errors(body);
  const Row row = row_of(status);
  const std::string fact = fmt::format(fmt::runtime(row.fact), registry);
  const std::string detail = errors.text.empty() ? fmt::format("HTTP {}", status)
                                                 : fmt::format("HTTP {}, {}", status, errors.text);
  std::string message = fmt::format("{}: {} ({})", doing, fact, detail);
  if (!row.advice.empty()) message += "; " + fmt::format(fmt::runtime(row.advice), registry);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto after = retry_after(headers, now);
  if (after) message += fmt::format("; it asks to wait {}", format_duration(*after));
  Error error(refined(row.code, errors), std::move(message));
  if (after) return std::move(error).with_retry_after(*after);
  return error;
}

Task<Error> answer_error(rt::Op& op, std::string doing, std::string registry,
                         http::Response response) {
  const auto body = co_await http::read_all(op, std::move(response.body), kMaxErrorBody);
  co_return answer_error(doing, registry, response.status, response.headers, body ? *body : "");
}

}  // namespace berth::remote
