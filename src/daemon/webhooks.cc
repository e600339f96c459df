#include "daemon/webhooks.h"

#include "local/shared.h"

namespace berth::daemon {
namespace {

constexpr std::size_t kInstanceBytes = 16;

template <class T>
Result<T> named(Result<T> result, std::string_view webhook, std::string_view key) {
  if (result) return result;
  return std::unexpected(
      std::move(result.error())
          .with_context(fmt::format("registry_server.webhook.\"{}\".{}", webhook, key)));
}

Result<webhook::Endpoint> endpoint_of(const std::string& name, const config::Webhook& settings) {
  webhook::Endpoint endpoint{.name = name,
                             .format = settings.format == "distribution"
                                           ? webhook::Format::kDistribution
                                           : webhook::Format::kCloudEvents,
                             .headers = settings.headers,
                             .secret = settings.secret,
                             .attempts = settings.attempts};
  TRY(endpoint.url, named(http::parse_url(settings.url), name, "url"));
  return endpoint;
}

}  // namespace

Result<std::vector<depot::Subscription>> Webhooks::subscriptions(const config::Settings& settings) {
  std::vector<depot::Subscription> all;
  for (const auto& [name, webhook] : settings.registry_server.webhooks) {
    depot::Subscription one{.endpoint = name};
    for (const std::string& event : webhook.events) {
      TRY(const depot::Event::Kind kind, named(depot::parse_event_kind(event), name, "events"));
      one.kinds.push_back(kind);
    }
    for (const std::string& pattern : webhook.repositories) {
      TRY(Glob where, named(Glob::parse(pattern), name, "repositories"));
      one.repositories.push_back(std::move(where));
    }
    all.push_back(std::move(one));
  }
  return all;
}

Result<std::unique_ptr<Webhooks>> Webhooks::open(rt::Loop& loop, metrics::Registry& metrics,
                                                 const config::Settings& settings,
                                                 depot::LocalDepot& depot) {
  std::vector<webhook::Endpoint> endpoints;
  for (const auto& [name, webhook] : settings.registry_server.webhooks) {
    TRY(webhook::Endpoint endpoint, endpoint_of(name, webhook));
    endpoints.push_back(std::move(endpoint));
  }
  if (endpoints.empty()) return nullptr;
  TRY(const std::string instance, depot.secret("instance"));
  return std::unique_ptr<Webhooks>(new Webhooks(loop, metrics, settings, depot.seam().events,
                                                std::move(endpoints),
                                                instance.substr(0, kInstanceBytes)));
}

Webhooks::Webhooks(rt::Loop& loop, metrics::Registry& metrics, const config::Settings& settings,
                   depot::Events& events, std::vector<webhook::Endpoint> endpoints,
                   std::string instance)
    : client_(loop, local::client_options(settings)),
      courier_(
          loop, events,
          [this](rt::Op& op, http::Request request) { return send(op, std::move(request)); },
          std::move(endpoints), std::move(instance), metrics) {}

// Whoever runs the registry named the place, wherever it is.
rt::Task<Result<http::Response>> Webhooks::send(rt::Op& op, http::Request request) {
  co_return co_await client_.handle_with(op, std::move(request), http::AddressPolicy::anywhere());
}

}  // namespace berth::daemon
