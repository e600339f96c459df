#include "http/server.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/log.h"
#include "http/listener.h"
#include "http/server_connection.h"
#include "rt/async.h"

namespace berth::http {
namespace {

constexpr std::chrono::milliseconds kExhaustedPause{50};
// Connections that their client has too many of and that are told so, at a time.
constexpr std::size_t kExcessAtOnce = 64;
constexpr std::chrono::milliseconds kExcessTime{2'000};

// One request gets an answer, and then the connection ends.
class Last : public Service {
 public:
  explicit Last(Service& service) : service_(service) {}
  void end(std::weak_ptr<Connection> connection) { connection_ = std::move(connection); }
  rt::Task<Result<Response>> handle(rt::Op& op, Request request) override {
    if (const auto connection = connection_.lock()) connection->finish();
    return service_.handle(op, std::move(request));
  }

 private:
  Service& service_;
  std::weak_ptr<Connection> connection_;
};

ServerLimits limits_of_excess(ServerLimits limits) {
  for (auto* time : {&limits.head, &limits.idle, &limits.body_stall, &limits.write_stall})
    *time = std::min(*time, kExcessTime);
  return limits;
}

}  // namespace

struct Server::Core {
  Core(rt::Loop& its_loop, Service& its_service, ServerLimits its_limits)
      : loop(its_loop),
        service(its_service),
        limits(std::move(its_limits)),
        excess_limits(limits_of_excess(limits)),
        changed(its_loop) {}

  rt::Task<Status> accept_all(rt::Op& op, rt::Op& work, rt::Scope& scope, Listener& listener);
  rt::Task<Status> serve_connection(rt::Op& work, Accepted caller, TlsContext tls,
                                    std::string client);
  rt::Task<Status> answer_excess(rt::Op& work, Accepted caller, TlsContext tls);
  // A small part of all connections, whatever those are.
  std::size_t excess_at_most() const { return std::min(kExcessAtOnce, limits.connections / 8 + 1); }
  // Whose connection it is, for the count; "" for those that are not counted.
  std::string client_of(const Arrival& arrival) const;
  rt::Task<Status> serve(rt::Op& op);
  rt::Task<void> drain(rt::Op& op, rt::Op& work);
  void start(rt::Scope& scope, rt::Op& work, Accepted caller, TlsContext tls);
  void stop();
  Result<TcpEndpoint> add(std::unique_ptr<Listener> listener);

  rt::Loop& loop;
  Service& service;
  ServerLimits limits;
  ServerLimits excess_limits;
  Service* excess_service = nullptr;
  std::map<std::string, std::size_t> by_client;  // connections that count
  std::size_t excess = 0;                        // that are being answered
  rt::Event changed;  // a connection ended, an adopted one came, or stop()
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<UniqueFd> adopted;
  std::set<std::shared_ptr<Connection>> open;
  std::uint64_t accepted = 0;
  std::size_t live = 0;  // open, or about to be
  bool stopping = false;
};

std::string Server::Core::client_of(const Arrival& arrival) const {
  if (limits.connections_per_client == 0 || arrival.on_unix_socket()) return "";
  const bool uncounted = std::ranges::any_of(
      limits.uncounted, [&](const Network& network) { return network.contains(arrival.peer); });
  return uncounted ? "" : client_network(arrival.peer);
}

rt::Task<Status> Server::Core::answer_excess(rt::Op& work, Accepted caller, TlsContext tls) {
  Last last(*excess_service);
  auto connection = std::make_shared<Connection>(loop, last, excess_limits, std::move(caller.fd),
                                                 std::move(caller.arrival));
  last.end(connection);
  open.insert(connection);
  rt::Op hurried(work, from_now(2 * kExcessTime));
  Status served = co_await Connection::serve(hurried, connection, std::move(tls));
  open.erase(connection);
  --excess;
  --live;
  changed.notify_all();
  co_return served;
}

rt::Task<Status> Server::Core::serve_connection(rt::Op& work, Accepted caller, TlsContext tls,
                                                std::string client) {
  auto connection = std::make_shared<Connection>(loop, service, limits, std::move(caller.fd),
                                                 std::move(caller.arrival));
  open.insert(connection);
  if (stopping) connection->finish();
  Status served = co_await Connection::serve(work, connection, std::move(tls));
  open.erase(connection);
  if (const auto counted = by_client.find(client); counted != by_client.end()) {
    if (--counted->second == 0) by_client.erase(counted);
  }
  --live;
  changed.notify_all();
  co_return served;
}

void Server::Core::start(rt::Scope& scope, rt::Op& work, Accepted caller, TlsContext tls) {
  ++accepted;
  std::string client = client_of(caller.arrival);
  if (!client.empty()) {
    std::size_t& count = by_client[client];
    if (count >= limits.connections_per_client) {
      // Whoever has all of those as well is just closed.
      if (excess_service == nullptr || excess >= excess_at_most()) return;
      ++excess;
      ++live;
      scope.spawn(answer_excess(work, std::move(caller), std::move(tls)));
      return;
    }
    ++count;
  }
  ++live;
  scope.spawn(serve_connection(work, std::move(caller), std::move(tls), std::move(client)));
}

rt::Task<Status> Server::Core::accept_all(rt::Op& op, rt::Op& work, rt::Scope& scope,
                                          Listener& listener) {
  // The end of `op` is no failure: it is how accepting is stopped.
  while (!stopping && op.check()) {
    if (live >= limits.connections) {
      (void)co_await changed.wait(op);
      continue;
    }
    Result<Accepted> caller = co_await listener.accept(op);
    if (caller) {
      start(scope, work, std::move(*caller), listener.tls);
    } else if (caller.error().code() == Code::kExhausted) {
      log::warning("{}", caller.error().message());
      (void)co_await rt::sleep_for(op, kExhaustedPause);
    } else {
      break;
    }
  }
  co_return Status();
}

// Waits for what is in flight, at most as long as allowed.
rt::Task<void> Server::Core::drain(rt::Op& op, rt::Op& work) {
  const rt::SteadyTime until = from_now(limits.drain);
  while (live > 0) {
    const Status waited = co_await changed.wait_until(op, until);
    if (!waited) break;
  }
  work.cancel(Error(Code::kCancelled, "the server stops"));
}

rt::Task<Status> Server::Core::serve(rt::Op& op) {
  rt::Op work(op);
  rt::Op accepting(op);
  rt::Scope scope(loop);
  for (const auto& listener : listeners) scope.spawn(accept_all(accepting, work, scope, *listener));
  while (!stopping) {
    for (UniqueFd& fd : std::exchange(adopted, {})) {
      Arrival arrival = arrival_of(fd.get());
      start(scope, work, {.fd = std::move(fd), .arrival = std::move(arrival)}, nullptr);
    }
    const Status waited = co_await changed.wait(op);
    if (!waited) break;
  }
  stop();
  accepting.cancel();
  co_await drain(op, work);
  Status ended = co_await scope.join();
  listeners.clear();
  co_return ended;
}

void Server::Core::stop() {
  if (stopping) return;
  stopping = true;
  for (const auto& listener : listeners) listener->close();
  for (const auto& connection : open) connection->finish();
  changed.notify_all();
}

Result<TcpEndpoint> Server::Core::add(std::unique_ptr<Listener> listener) {
  const TcpEndpoint bound = listener->bound();
  listeners.push_back(std::move(listener));
  return bound;
}

Server::Server(rt::Loop& loop, Service& service, ServerLimits limits)
    : core_(std::make_shared<Core>(loop, service, limits)) {}
Server::~Server() = default;

Result<TcpEndpoint> Server::listen_tcp(std::string_view address, std::uint16_t port,
                                       PortSharing sharing) {
  TRY(auto listener, Listener::tcp(core_->loop, {std::string(address), port}, sharing));
  return core_->add(std::move(listener));
}

Result<TcpEndpoint> Server::listen_tls(std::string_view address, std::uint16_t port, TlsFiles files,
                                       PortSharing sharing) {
  TRY(TlsContext context, tls_context(files.certificate, files.key));
  TRY(auto listener, Listener::tcp(core_->loop, {std::string(address), port}, sharing));
  listener->tls = std::move(context);
  listener->tls_files = std::move(files);
  return core_->add(std::move(listener));
}

Status Server::listen_unix(std::string_view path) {
  TRY(auto listener, Listener::unix_socket(core_->loop, std::string(path)));
  core_->listeners.push_back(std::move(listener));
  return {};
}

void Server::adopt(UniqueFd connected) {
  core_->adopted.push_back(std::move(connected));
  core_->changed.notify_all();
}

Status Server::reload_tls() {
  std::vector<TlsContext> contexts;
  for (const auto& listener : core_->listeners) {
    if (!listener->tls_files) continue;
    TRY(TlsContext context,
        tls_context(listener->tls_files->certificate, listener->tls_files->key));
    contexts.push_back(std::move(context));
  }
  auto next = contexts.begin();
  for (const auto& listener : core_->listeners) {
    if (listener->tls_files) listener->tls = std::move(*next++);
  }
  return {};
}

rt::Task<Status> Server::serve(rt::Op& op) { return core_->serve(op); }
void Server::answer_excess(Service& service) { core_->excess_service = &service; }
void Server::stop() { core_->stop(); }
std::uint64_t Server::accepted() const { return core_->accepted; }
std::size_t Server::connections() const { return core_->live; }

}  // namespace berth::http
