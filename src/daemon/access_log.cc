#include "daemon/access_log.h"

#include <chrono>
#include <cstdio>

#include "base/text.h"
#include "crypto/hash.h"
#include "http/forwarded.h"
#include "json/json.h"

namespace berth::daemon {
namespace {

constexpr std::size_t kLongestPath = 300;

struct Line {
  std::string id;
  std::string time;
  std::string peer;
  std::string method;
  std::string path;
  std::string agent;
  int status = 0;  // 0: the caller left before there was an answer
  std::uint64_t bytes = 0;
  double milliseconds = 0;
};

std::uint64_t size_of(const http::Response& response) {
  const http::Body& body = response.body;
  if (const auto* text = std::get_if<std::string>(&body.content)) return text->size();
  if (const auto* range = std::get_if<http::FileRange>(&body.content)) return range->length;
  return body.length.value_or(0);
}

std::string as_json(const Line& line) {
  return json::serialize(json::Object{{"time", line.time},
                                      {"id", line.id},
                                      {"peer", line.peer},
                                      {"method", line.method},
                                      {"path", line.path},
                                      {"status", line.status},
                                      {"bytes", line.bytes},
                                      {"ms", line.milliseconds},
                                      {"agent", line.agent}});
}

std::string as_text(const Line& line) {
  return fmt::format("{} {} {} {} {} {} {} B {:.1f} ms \"{}\"", line.time, line.id, line.peer,
                     line.method, line.path, line.status, line.bytes, line.milliseconds,
                     line.agent);
}

}  // namespace

AccessLog::AccessLog(http::Service& inner, log::Format format, std::vector<http::Network> proxies)
    : inner_(inner),
      format_(format),
      proxies_(std::move(proxies)),
      prefix_(crypto::random_hex(6)) {}

rt::Task<Result<http::Response>> AccessLog::handle(rt::Op& op, http::Request request) {
  const auto begun = std::chrono::steady_clock::now();
  Line line{.id = fmt::format("{}-{}", prefix_, ++count_),
            .time = format_rfc3339(
                std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())),
            .peer = http::client_address(request, proxies_),
            .method = printable(request.method, 20),
            .path = printable(request.url.path, kLongestPath),
            .agent = printable(request.headers.get("User-Agent").value_or(""), 120)};
  request.headers.set("X-Request-Id", line.id);
  auto response = co_await inner_.handle(op, std::move(request));
  if (response) {
    response->headers.set("X-Request-Id", line.id);
    line.status = response->status;
    line.bytes = size_of(*response);
  }
  line.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  fmt::print(stderr, "{}\n", format_ == log::Format::kJson ? as_json(line) : as_text(line));
  co_return response;
}

}  // namespace berth::daemon
