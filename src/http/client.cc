#include "http/client.h"

#include <cstdlib>

#include "http/outgoing.h"
#include "http/resolver.h"
#include "http/transfer.h"

namespace berth::http {
namespace {

std::shared_ptr<const ClientOptions> completed(ClientOptions options) {
  const char* trusted = std::getenv("SSL_CERT_FILE");  // as OpenSSL and Go do
  if (options.ca_file.empty() && trusted) options.ca_file = trusted;
  return std::make_shared<const ClientOptions>(std::move(options));
}

}  // namespace

struct Client::Core {
  Core(rt::Loop& its_loop, ClientOptions its_options)
      : loop(its_loop), options(completed(std::move(its_options))), resolver(its_loop) {}

  rt::Task<Result<Route>> route_of(rt::Op& op, Url url, AddressPolicy addresses);
  rt::Task<Result<std::vector<std::string>>> addresses_of(rt::Op& op, Url url);

  rt::Loop& loop;
  std::shared_ptr<const ClientOptions> options;
  std::shared_ptr<CurlMulti> multi;  // made at the first request: most commands make none
  Resolver resolver;
};

namespace {

class TransferReader : public Reader {
 public:
  explicit TransferReader(std::unique_ptr<Transfer> transfer) : transfer_(std::move(transfer)) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    return transfer_->read(op, into);
  }

 private:
  std::unique_ptr<Transfer> transfer_;
};

Status check_request(const Request& request) {
  if (request.url.host.empty()) return fail(Code::kInvalid, "a request needs an absolute URL");
  if (!is_token(request.method)) return fail(Code::kInvalid, "the method is not one of HTTP");
  return check_headers(request.headers);
}

// "host:port:address,address" of those that may be reached; the denial when none may.
Result<std::string> resolve_entry(const Url& url, const std::vector<std::string>& literals,
                                  AddressPolicy policy) {
  Status denied = fail(Code::kUnavailable, "the host {} has no address", url.host);
  std::string entry;
  for (const std::string& literal : literals) {
    const Status allowed =
        policy.check(classify(literal).value_or(AddressKind::kSpecial), url.host);
    if (!allowed) {
      denied = allowed;
      continue;
    }
    entry += entry.empty() ? fmt::format("{}:{}:", url.host, url.port) : ",";
    entry += literal.find(':') == std::string::npos ? literal : "[" + literal + "]";
  }
  if (entry.empty()) return std::unexpected(denied.error());
  return entry;
}

}  // namespace

rt::Task<Result<std::vector<std::string>>> Client::Core::addresses_of(rt::Op& op, Url url) {
  const auto pinned = options->pinned.find(fmt::format("{}:{}", url.host, url.port));
  if (pinned != options->pinned.end()) co_return std::vector<std::string>{pinned->second};
  co_return co_await resolver.resolve(op, url.host);
}

// Judges where the request would go before anything is sent (address.h).
rt::Task<Result<Route>> Client::Core::route_of(rt::Op& op, Url url, AddressPolicy addresses) {
  Route route{.proxy = options->proxy.proxy_for(url),
              .resolve = std::nullopt,
              .addresses = addresses,
              .first_byte = options->limits.first_byte};
  if (const auto kind = classify(url.host)) {
    CO_TRY_OK(addresses.check(*kind, url.host));
    co_return route;
  }
  if (route.proxy) co_return route;
  rt::Op looking(op, from_now(options->limits.connect));
  auto literals = co_await addresses_of(looking, url);
  if (!literals && literals.error().code() == Code::kTimeout && op.check()) {
    co_return fail(Code::kTimeout, "looking up {} took longer than {}; check the network", url.host,
                   format_duration(options->limits.connect));
  }
  if (!literals) co_return std::unexpected(literals.error());
  CO_TRY(route.resolve, resolve_entry(url, *literals, addresses));
  co_return route;
}

Client::Client(rt::Loop& loop, ClientOptions options)
    : core_(std::make_shared<Core>(loop, std::move(options))) {}
Client::~Client() = default;

rt::Task<Result<Response>> Client::handle(rt::Op& op, Request request) {
  return handle_with(op, std::move(request), core_->options->addresses);
}

rt::Task<Result<Response>> Client::handle_with(
    rt::Op& op, Request request, AddressPolicy addresses,
    std::optional<std::chrono::milliseconds> first_byte) {
  const std::shared_ptr<Core> core = core_;
  CO_TRY_OK(op.check());
  CO_TRY_OK(check_request(request));
  CO_TRY(Route route, co_await core->route_of(op, request.url, addresses));
  if (request.first_byte) route.first_byte = *request.first_byte;
  route.first_byte = first_byte.value_or(route.first_byte);
  if (!core->multi) core->multi = std::make_shared<CurlMulti>(core->loop);
  auto transfer = std::make_unique<Transfer>(core->loop, core->multi, core->options,
                                             std::move(request), std::move(route));
  CO_TRY(Response response, co_await transfer->exchange(op));
  if (transfer->body_is_empty()) co_return response;
  const auto length = transfer->content_length();
  response.body = Body(std::make_unique<TransferReader>(std::move(transfer)), length);
  co_return response;
}

}  // namespace berth::http
