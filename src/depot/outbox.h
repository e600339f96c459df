// What happened in the local depot, for those who want to be told: written in the transaction of
// what happened, so that nothing is lost and nothing is told that did not happen.
//
// Loop thread but for write(). Queues are bounded: of what waits for an endpoint that is away the
// oldest become dead letters, of those the oldest are forgotten.
#pragma once

#include "base/glob.h"
#include "depot/shelf.h"

namespace berth::depot {

// An endpoint and what it wants; no patterns: all repositories.
struct Subscription {
  std::string endpoint;
  std::vector<Event::Kind> kinds;
  std::vector<Glob> repositories;

  bool wants(Event::Kind kind, const std::string& repository) const;
};

class Outbox : public Events {
 public:
  Outbox(Shelf& shelf, std::vector<Subscription> subscriptions)
      : shelf_(shelf), subscriptions_(std::move(subscriptions)) {}

  // Blocking, before anything happens: forgets the queues of endpoints that are no more.
  Status prepare();
  bool wants(Event::Kind kind, const std::string& repository) const;
  // Inside the transaction of what happened; for nobody it writes nothing.
  Status write(Database& database, const Event& event) const;
  // After that transaction.
  void tell() const {
    if (changed_) changed_();
  }

  rt::Task<Result<std::vector<Delivery>>> due(rt::Op& op, std::string endpoint,
                                              std::size_t limit) override;
  rt::Task<Status> delivered(rt::Op& op, std::string endpoint,
                             std::vector<std::int64_t> events) override;
  rt::Task<Status> failed(rt::Op& op, std::string endpoint, std::vector<std::int64_t> events,
                          std::string fault, Then then) override;
  rt::Task<Result<std::vector<Delivery>>> dead_letters(rt::Op& op, std::int64_t last,
                                                       std::size_t limit) override;
  rt::Task<Result<std::uint64_t>> revive(rt::Op& op, std::string endpoint) override;
  rt::Task<Result<std::vector<Backlog>>> backlog(rt::Op& op) override;
  void when_changed(std::function<void()> call) override { changed_ = std::move(call); }

 private:
  Shelf& shelf_;
  std::vector<Subscription> subscriptions_;
  std::function<void()> changed_;
};

}  // namespace berth::depot
