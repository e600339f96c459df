#include "depot/outbox.h"

#include <algorithm>

namespace berth::depot {
namespace {

constexpr std::int64_t kMostWaiting = 100'000;  // of an endpoint
constexpr std::int64_t kMostDead = 10'000;
constexpr std::size_t kLongestFault = 500;

std::int64_t milliseconds_now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now())
      .time_since_epoch()
      .count();
}

// The columns of an Event, as event_of() reads them behind the first two.
#define BERTH_EVENT_COLUMNS                                                             \
  "e.id, e.at, e.kind, e.repository, e.tag, e.digest, e.before, e.media_type, e.size, " \
  "e.actor, e.peer, e.address, e.method, e.user_agent, e.request"

Result<Delivery> delivery_of(const Rows& rows) {
  Delivery delivery{.endpoint = rows.text(0),
                    .attempts = static_cast<std::uint64_t>(rows.integer(1)),
                    .fault = rows.text(2)};
  TRY(const Event::Kind kind, parse_event_kind(rows.text(5)));
  delivery.event = {.id = rows.integer(3),
                    .at = std::chrono::sys_time<std::chrono::milliseconds>(
                        std::chrono::milliseconds(rows.integer(4))),
                    .kind = kind,
                    .repository = rows.text(6),
                    .tag = rows.text(7),
                    .digest = rows.text(8),
                    .before = rows.text(9),
                    .media_type = rows.text(10),
                    .size = static_cast<std::uint64_t>(rows.integer(11)),
                    .origin = {.actor = rows.text(12),
                               .peer = rows.text(13),
                               .address = rows.text(14),
                               .method = rows.text(15),
                               .user_agent = rows.text(16),
                               .request = rows.text(17)}};
  return delivery;
}

Result<std::vector<Delivery>> deliveries_of(Rows rows) {
  std::vector<Delivery> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    TRY(Delivery delivery, delivery_of(rows));
    found.push_back(std::move(delivery));
  }
}

Status forget_untold(Database& database) {
  return database.run(
      "DELETE FROM events WHERE NOT EXISTS(SELECT 1 FROM deliveries d WHERE d.event = events.id)");
}

// Of a queue that is too long its oldest go.
Status bound(Database& database, const std::string& endpoint) {
  TRY_OK(database.run(
      "UPDATE deliveries SET dead = 1, fault = 'the queue was full' WHERE endpoint = ?1 AND "
      "dead = 0 AND event <= (SELECT event FROM deliveries WHERE endpoint = ?1 AND dead = 0 "
      "ORDER BY event DESC LIMIT 1 OFFSET ?2)",
      endpoint, kMostWaiting));
  TRY_OK(database.run(
      "DELETE FROM deliveries WHERE endpoint = ?1 AND dead = 1 AND event <= (SELECT event FROM "
      "deliveries WHERE endpoint = ?1 AND dead = 1 ORDER BY event DESC LIMIT 1 OFFSET ?2)",
      endpoint, kMostDead));
  if (database.changes() > 0) TRY_OK(forget_untold(database));
  return {};
}

Result<std::vector<std::string>> known_endpoints(Database& database) {
  std::vector<std::string> endpoints;
  TRY(Rows rows, database.query("SELECT DISTINCT endpoint FROM deliveries"));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return endpoints;
    endpoints.push_back(rows.text(0));
  }
}

}  // namespace

bool Subscription::wants(Event::Kind kind, const std::string& repository) const {
  if (std::ranges::find(kinds, kind) == kinds.end()) return false;
  return repositories.empty() || std::ranges::any_of(repositories, [&](const Glob& where) {
           return where.matches_whole(repository);
         });
}

Status Outbox::prepare() {
  return shelf_.write_now([this](Database& database) -> Status {
    TRY(const auto known, known_endpoints(database));
    for (const std::string& endpoint : known) {
      if (std::ranges::find(subscriptions_, endpoint, &Subscription::endpoint) ==
          subscriptions_.end())
        TRY_OK(database.run("DELETE FROM deliveries WHERE endpoint = ?", endpoint));
    }
    return forget_untold(database);
  });
}

bool Outbox::wants(Event::Kind kind, const std::string& repository) const {
  return std::ranges::any_of(subscriptions_,
                             [&](const Subscription& one) { return one.wants(kind, repository); });
}

Status Outbox::write(Database& database, const Event& event) const {
  if (!wants(event.kind, event.repository)) return {};
  const Origin& origin = event.origin;
  TRY_OK(database.run(
      "INSERT INTO events(at, kind, repository, tag, digest, before, media_type, size, actor, "
      "peer, address, method, user_agent, request) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
      "?)",
      milliseconds_now(), to_string(event.kind), event.repository, event.tag, event.digest,
      event.before, event.media_type, static_cast<std::int64_t>(event.size), origin.actor,
      origin.peer, origin.address, origin.method, origin.user_agent, origin.request));
  for (const Subscription& one : subscriptions_) {
    if (!one.wants(event.kind, event.repository)) continue;
    TRY_OK(database.run(
        "INSERT INTO deliveries(endpoint, event) VALUES(?, (SELECT max(id) FROM events))",
        one.endpoint));
  }
  return {};
}

rt::Task<Result<std::vector<Delivery>>> Outbox::due(rt::Op& op, std::string endpoint,
                                                    std::size_t limit) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<Delivery>> {
    TRY(Rows rows, database.query("SELECT d.endpoint, d.attempts, d.fault, " BERTH_EVENT_COLUMNS
                                  " FROM deliveries d JOIN events e ON e.id = d.event "
                                  "WHERE d.endpoint = ? AND d.dead = 0 ORDER BY d.event LIMIT ?",
                                  endpoint, static_cast<std::int64_t>(limit)));
    return deliveries_of(std::move(rows));
  });
}

rt::Task<Status> Outbox::delivered(rt::Op& op, std::string endpoint,
                                   std::vector<std::int64_t> events) {
  co_return co_await shelf_.record(op, [&](Database& database) -> Status {
    for (const std::int64_t event : events) {
      TRY_OK(database.run("DELETE FROM deliveries WHERE endpoint = ? AND dead = 0 AND event = ?",
                          endpoint, event));
      TRY_OK(
          database.run("DELETE FROM events WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM "
                       "deliveries WHERE event = ?1)",
                       event));
    }
    return {};
  });
}

rt::Task<Status> Outbox::failed(rt::Op& op, std::string endpoint, std::vector<std::int64_t> events,
                                std::string fault, Then then) {
  fault = printable(fault, kLongestFault);
  co_return co_await shelf_.record(op, [&](Database& database) -> Status {
    for (const std::int64_t event : events) {
      TRY_OK(
          database.run("UPDATE deliveries SET attempts = attempts + 1, fault = ?, dead = ? "
                       "WHERE endpoint = ? AND dead = 0 AND event = ?",
                       fault, std::int64_t{then == Then::kDead}, endpoint, event));
    }
    return bound(database, endpoint);
  });
}

rt::Task<Result<std::vector<Delivery>>> Outbox::dead_letters(rt::Op& op, std::int64_t last,
                                                             std::size_t limit) {
  co_return co_await shelf_.read(op, [&](Database& database) -> Result<std::vector<Delivery>> {
    TRY(Rows rows,
        database.query("SELECT d.endpoint, d.attempts, d.fault, " BERTH_EVENT_COLUMNS
                       " FROM deliveries d JOIN events e ON e.id = d.event "
                       "WHERE d.dead = 1 AND d.event IN (SELECT DISTINCT event FROM deliveries "
                       "WHERE dead = 1 AND event > ? ORDER BY event LIMIT ?) "
                       "ORDER BY d.event, d.endpoint",
                       last, static_cast<std::int64_t>(limit)));
    return deliveries_of(std::move(rows));
  });
}

rt::Task<Result<std::uint64_t>> Outbox::revive(rt::Op& op, std::string endpoint) {
  std::uint64_t revived = 0;
  CO_TRY_OK(co_await shelf_.record(op, [&](Database& database) -> Status {
    TRY_OK(
        database.run("UPDATE deliveries SET dead = 0, attempts = 0 WHERE dead = 1 AND "
                     "(?1 = '' OR endpoint = ?1)",
                     endpoint));
    revived = static_cast<std::uint64_t>(database.changes());
    return {};
  }));
  tell();
  co_return revived;
}

rt::Task<Result<std::vector<Events::Backlog>>> Outbox::backlog(rt::Op& op) {
  CO_TRY(auto counted,
         co_await shelf_.read(op, [](Database& database) -> Result<std::vector<Backlog>> {
           std::vector<Backlog> all;
           TRY(Rows rows,
               database.query("SELECT endpoint, sum(dead = 0), sum(dead = 1) FROM deliveries "
                              "GROUP BY endpoint"));
           for (;;) {
             TRY(const bool more, rows.next());
             if (!more) return all;
             all.push_back({.endpoint = rows.text(0),
                            .waiting = static_cast<std::uint64_t>(rows.integer(1)),
                            .dead = static_cast<std::uint64_t>(rows.integer(2))});
           }
         }));
  for (const Subscription& one : subscriptions_) {
    if (std::ranges::find(counted, one.endpoint, &Backlog::endpoint) == counted.end())
      counted.push_back({.endpoint = one.endpoint});
  }
  co_return std::move(counted);
}

}  // namespace berth::depot
