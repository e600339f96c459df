#include "webhook/courier.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "base/text.h"

namespace berth::webhook {
namespace {

constexpr std::size_t kInAnEnvelope = 50;
constexpr std::uint64_t kMostAnswer = 64 * 1024;

std::int64_t seconds_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())
      .time_since_epoch()
      .count();
}

std::vector<std::int64_t> ids_of(const std::vector<depot::Delivery>& deliveries) {
  std::vector<std::int64_t> ids;
  for (const depot::Delivery& delivery : deliveries) ids.push_back(delivery.event.id);
  return ids;
}

}  // namespace

Courier::Courier(rt::Loop& loop, depot::Events& events, Send send, std::vector<Endpoint> endpoints,
                 std::string instance, metrics::Registry& metrics, Pace pace)
    : events_(events),
      send_(std::move(send)),
      endpoints_(std::move(endpoints)),
      instance_(std::move(instance)),
      metrics_(metrics),
      pace_(pace),
      scope_(loop),
      op_("webhooks"),
      changed_(loop) {}

void Courier::start() {
  events_.when_changed([this] {
    ++changes_;
    changed_.notify_all();
  });
  for (const Endpoint& endpoint : endpoints_) scope_.spawn(serve(*this, endpoint));
}

rt::Task<Status> Courier::close() {
  events_.when_changed({});
  op_.cancel();
  (void)co_await scope_.join();
  co_return Status();
}

std::chrono::milliseconds Courier::pause_after(std::uint64_t in_vain) const {
  const std::uint64_t doublings = std::min<std::uint64_t>(in_vain - 1, 16);
  return std::min(pace_.longest, pace_.first * (std::int64_t{1} << doublings));
}

rt::Task<Status> Courier::serve(Courier& courier, const Endpoint& endpoint) {
  std::uint64_t in_vain = 0;  // in a row
  for (;;) {
    const std::uint64_t seen = courier.changes_;
    const auto more = co_await courier.deliver_some(endpoint, in_vain);
    if (courier.op_.cancelled()) co_return Status();
    if (!more) {
      log::error("webhook {}: its queue cannot be read: {}", endpoint.name,
                 printable(more.error().message()));
      in_vain = std::max<std::uint64_t>(in_vain, 1);
    }
    if (in_vain > 0) {
      if (!co_await rt::sleep_for(courier.op_, courier.pause_after(in_vain))) co_return Status();
    } else if (!*more && seen == courier.changes_) {
      if (!co_await courier.changed_.wait(courier.op_)) co_return Status();
    }
  }
}

rt::Task<Result<bool>> Courier::deliver_some(const Endpoint& endpoint, std::uint64_t& in_vain) {
  const std::size_t most = endpoint.format == Format::kDistribution ? kInAnEnvelope : 1;
  CO_TRY(auto due, co_await events_.due(op_, endpoint.name, most));
  if (due.empty()) {
    in_vain = 0;
    co_return false;
  }
  auto message = endpoint.format == Format::kDistribution
                     ? distribution_envelope(due, instance_)
                     : std::optional(cloud_event(due.front().event, instance_));
  Status outcome;
  if (message) outcome = co_await post(endpoint, std::move(*message));
  if (op_.cancelled()) co_return false;  // not an attempt that failed
  if (!outcome && in_vain == 0) {
    log::warning("webhook {}: {}; it is tried again", endpoint.name,
                 printable(outcome.error().message()));
  }
  in_vain = outcome ? 0 : in_vain + 1;
  CO_TRY_OK(co_await settle(endpoint, std::move(due), std::move(outcome)));
  co_return true;
}

rt::Task<Status> Courier::post(const Endpoint& endpoint, Message message) {
  http::Request request{.method = "POST", .url = endpoint.url};
  request.headers.set("Content-Type", message.content_type);
  for (const auto& [name, value] : endpoint.headers) request.headers.set(name, value.reveal());
  if (!endpoint.secret.reveal().empty()) {
    const std::int64_t now = seconds_now();
    request.headers.set("webhook-id", message.id);
    request.headers.set("webhook-timestamp", fmt::format("{}", now));
    request.headers.set("webhook-signature", signature(message, now, endpoint.secret.reveal()));
  }
  request.body = std::move(message.body);
  rt::Op op(op_, std::chrono::steady_clock::now() + pace_.patience);
  auto response = co_await send_(op, std::move(request));
  if (!response) co_return std::unexpected(response.error());
  const int status = response->status;
  // So that the connection can be used again; what it says matters to nobody.
  (void)co_await http::read_all(op, std::move(response->body), kMostAnswer);
  if (status >= 200 && status < 300) co_return Status();
  co_return fail(Code::kUnavailable, "{} answered HTTP {}", endpoint.url.authority(), status);
}

rt::Task<Status> Courier::settle(const Endpoint& endpoint, std::vector<depot::Delivery> sent,
                                 Status outcome) {
  if (outcome) {
    count(endpoint, "delivered", sent.size());
    co_return co_await events_.delivered(op_, endpoint.name, ids_of(sent));
  }
  const auto is_last = [&](const depot::Delivery& delivery) {
    return delivery.attempts + 1 >= endpoint.attempts;
  };
  std::vector<depot::Delivery> given_up;
  std::ranges::copy_if(sent, std::back_inserter(given_up), is_last);
  std::erase_if(sent, is_last);
  const std::string fault = outcome.error().message();
  count(endpoint, "failed", sent.size());
  count(endpoint, "dead", given_up.size());
  if (!sent.empty()) {
    CO_TRY_OK(co_await events_.failed(op_, endpoint.name, ids_of(sent), fault,
                                      depot::Events::Then::kAgain));
  }
  if (!given_up.empty()) {
    log::error("webhook {}: {} events are dead letters after {} attempts: {}", endpoint.name,
               given_up.size(), endpoint.attempts, printable(fault));
    CO_TRY_OK(co_await events_.failed(op_, endpoint.name, ids_of(given_up), fault,
                                      depot::Events::Then::kDead));
  }
  co_return Status();
}

void Courier::count(const Endpoint& endpoint, std::string_view outcome, std::size_t events) {
  if (events == 0) return;
  metrics_.count("berth_registry_webhook_events", "Events and what became of them.",
                 {{"endpoint", endpoint.name}, {"outcome", std::string(outcome)}},
                 static_cast<double>(events));
}

}  // namespace berth::webhook
