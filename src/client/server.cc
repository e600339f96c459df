#include "client/server.h"

#include <array>

#include "base/log.h"
#include "base/text.h"
#include "http/address.h"
#include "http/client.h"
#include "http/connection.h"

namespace berth::client {
namespace {

constexpr std::uint64_t kMaxJson = 64u << 20;
constexpr std::uint64_t kMaxError = 64 * 1024;
constexpr std::size_t kMaxMessage = 4096;
// A model may load for minutes before the first byte comes; the caller's Op bounds the wait.
constexpr std::chrono::hours kPatience{24};

struct Row {
  int status;
  Code code;
};
constexpr std::array<Row, 16> kRows = {{{400, Code::kInvalid},
                                        {401, Code::kUnauthenticated},
                                        {403, Code::kDenied},
                                        {404, Code::kNotFound},
                                        {405, Code::kUnsupported},
                                        {409, Code::kConflict},
                                        {412, Code::kUnsupported},
                                        {413, Code::kTooLarge},
                                        {415, Code::kInvalid},
                                        {416, Code::kBadRange},
                                        {422, Code::kUnsupported},
                                        {429, Code::kRateLimited},
                                        {501, Code::kUnsupported},
                                        {503, Code::kUnavailable},
                                        {504, Code::kTimeout},
                                        {507, Code::kExhausted}}};

Code code_of(int status) {
  for (const Row& row : kRows) {
    if (row.status == status) return row.code;
  }
  return status >= 500 ? Code::kUnavailable : Code::kInvalid;
}

// OpenAI's JSON, or the text itself.
std::string message_of(std::string_view body) {
  const auto value = json::parse(body, "error");
  if (value && value->is_object()) {
    const json::View view(*value, "error");
    if (const auto error = view.find("error")) {
      const auto message =
          error->value().is_string() ? error->string() : error->string_or("message", "");
      if (message && !message->empty()) return printable(*message, kMaxMessage);
    }
  }
  return printable(trim(body), kMaxMessage);
}

std::unique_ptr<http::Service> far_service(rt::Loop& loop, const ServerAddress& address) {
  http::ClientOptions options;
  // The user named this server: wherever it is, it was meant.
  options.addresses = http::AddressPolicy::anywhere();
  options.limits.first_byte = kPatience;
  options.limits.stall = kPatience;
  options.limits.upload_stall = kPatience;
  options.tls_check = address.tls_skip_verify ? http::TlsCheck::kOff : http::TlsCheck::kOn;
  options.ca_file = address.ca_file;
  options.trust_advice =
      "if you trust its authority, name the PEM file in MODEL_RUNNER_TLS_CA_CERT, or as "
      "tls_ca_cert "
      "under [client] in config.toml";
  options.no_tls_advice = "if it speaks plain HTTP, write http:// before its name";
  return std::make_unique<http::Client>(loop, std::move(options));
}

std::unique_ptr<http::Service> service_for(rt::Loop& loop, const ServerAddress& address,
                                           const http::Url& url) {
  const bool loopback =
      url.host == "localhost" || http::classify(url.host) == http::AddressKind::kLoopback;
  if (url.scheme == "http" && loopback) {
    return std::make_unique<http::DirectClient>(loop, http::TcpEndpoint{url.host, url.port});
  }
  return far_service(loop, address);
}

}  // namespace

Error error_of(int status, const http::Headers& headers, std::string_view body) {
  std::string message = message_of(body);
  if (message.empty()) message = fmt::format("the server answered {} and said nothing", status);
  Error error(code_of(status), std::move(message));
  const auto after = headers.get("Retry-After");
  const auto seconds = after ? parse_u64(*after) : std::nullopt;
  if (!seconds || *seconds > 86'400) return error;
  return std::move(error).with_retry_after(std::chrono::seconds(*seconds));
}

Server::Server(ServerAddress address, http::Url base, std::string shown,
               std::unique_ptr<http::Service> service)
    : address_(std::move(address)),
      base_(std::move(base)),
      shown_(std::move(shown)),
      service_(std::move(service)) {}

Result<std::unique_ptr<Server>> Server::make(rt::Loop& loop, ServerAddress address) {
  std::string text(trim(address.url));
  if (text.starts_with("unix:")) {
    std::string path = text.substr(text.starts_with("unix://") ? 7 : 5);
    if (!path.starts_with('/')) {
      return fail(Code::kInvalid, "\"{}\" names no socket; write unix:///path/to/socket",
                  printable(text, 200));
    }
    http::Url base{.scheme = "http", .host = "localhost", .port = 80};
    auto service = std::make_unique<http::DirectClient>(loop, http::UnixEndpoint{path});
    return std::unique_ptr<Server>(
        new Server(std::move(address), std::move(base), path, std::move(service)));
  }
  if (text.find("://") == std::string::npos) text = (address.tls ? "https://" : "http://") + text;
  TRY(http::Url base, in_context(http::parse_url(text), "the server's address"));
  while (base.path.ends_with('/')) base.path.pop_back();
  base.query.clear();
  auto service = service_for(loop, address, base);
  std::string shown = base.to_string();
  return std::unique_ptr<Server>(
      new Server(std::move(address), std::move(base), std::move(shown), std::move(service)));
}

rt::Task<Result<http::Response>> Server::send(rt::Op& op, Call call) {
  http::Request request;
  request.method = std::move(call.method);
  request.url = base_;
  request.url.path = base_.path + call.path;
  request.url.query = std::move(call.query);
  request.headers = std::move(call.headers);
  request.body = std::move(call.body);
  request.headers.set("User-Agent", "berth/" BERTH_VERSION);
  if (!address_.token.empty())
    request.headers.set("Authorization", "Bearer " + address_.token.reveal());
  auto response = co_await service_->handle(op, std::move(request));
  if (!response)
    co_return std::unexpected(std::move(response.error()).with_context("no answer from " + shown_));
  compare_versions(response->headers);
  if (response->status < 300) co_return std::move(*response);
  const auto body = co_await http::read_all(op, std::move(response->body), kMaxError);
  co_return std::unexpected(
      error_of(response->status, response->headers, body ? *body : std::string()));
}

// Another version of Berth is no obstacle, but it explains what is odd; said once.
void Server::compare_versions(const http::Headers& headers) {
  if (std::exchange(compared_, true)) return;
  constexpr std::string_view kBerth = "berth/";
  const auto name = headers.get("Server");
  if (!name || !name->starts_with(kBerth) || name->substr(kBerth.size()) == BERTH_VERSION) return;
  log::warning("{} runs Berth {}, and this is Berth {}: restart it to have the same", shown_,
               printable(name->substr(kBerth.size()), 40), BERTH_VERSION);
}

rt::Task<Result<json::Value>> Server::json(rt::Op& op, Call call) {
  const std::string what = shown_ + call.path;
  CO_TRY(http::Response response, co_await send(op, std::move(call)));
  CO_TRY(const std::string body, co_await http::read_all(op, std::move(response.body), kMaxJson));
  co_return json::parse(body, what, {.bytes = kMaxJson});
}

rt::Task<Status> Server::done(rt::Op& op, Call call) {
  CO_TRY(http::Response response, co_await send(op, std::move(call)));
  CO_TRY_OK(co_await http::read_all(op, std::move(response.body), kMaxJson));
  co_return Status();
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> Server::stream(rt::Op& op, Call call) {
  CO_TRY(http::Response response, co_await send(op, std::move(call)));
  auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&response.body.content);
  if (!reader || !*reader) co_return fail(Code::kInternal, "the answer of {} has no body", shown_);
  co_return std::move(*reader);
}

rt::Task<Result<bool>> Server::is_berth(rt::Op& op) {
  if (is_berth_) co_return *is_berth_;
  const auto version = co_await json(op, {.path = "/version"});
  if (!version &&
      (version.error().code() == Code::kCancelled || version.error().code() == Code::kTimeout ||
       version.error().code() == Code::kUnavailable)) {
    co_return std::unexpected(version.error());
  }
  is_berth_ = version && version->is_object() && version->as_object().contains("berth_api");
  co_return *is_berth_;
}

rt::Task<Status> Server::need_berth(rt::Op& op, std::string what) {
  CO_TRY(const bool berth, co_await is_berth(op));
  if (berth) co_return Status();
  co_return fail(Code::kUnsupported,
                 "{} cannot {}: it is a Docker Model Runner server, whose API has no such thing",
                 shown_, what);
}

Call json_call(std::string method, std::string path, const json::Value& body) {
  Call call{.method = std::move(method), .path = std::move(path)};
  call.headers.set("Content-Type", "application/json");
  call.body = http::Body(json::serialize(body));
  return call;
}

std::string path_of(std::string_view prefix, std::string_view name, std::string_view suffix) {
  std::string path(prefix);
  const auto parts = split(trim(name), '/');
  for (std::size_t i = 0; i < parts.size(); ++i)
    path.append(i ? "/" : "").append(http::percent_encode(parts[i]));
  return path.append(suffix);
}

}  // namespace berth::client
