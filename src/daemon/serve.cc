#include <algorithm>
#include <csignal>
#include <cstdio>

#include "api/api.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/engines.h"
#include "daemon/excess.h"
#include "daemon/listen.h"
#include "daemon/log_settings.h"
#include "daemon/notify.h"
#include "daemon/registry_host.h"
#include "daemon/single.h"
#include "guard/guard.h"
#include "http/browser_guard.h"
#include "http/server.h"
#include "local/local.h"
#include "local/runs.h"
#include "metrics/metrics.h"
#include "rt/async.h"

namespace berth::daemon {
namespace {

// How long engines have for their last answers once the connections are gone.
constexpr std::chrono::seconds kEngineGrace{5};

api::Options api_options(const config::Settings& settings, const config::Paths& paths,
                         const std::vector<Listen>& listeners) {
  const auto& server = settings.server;
  api::Options options;
  options.max_body = server.max_body;
  options.record_requests = server.record_requests;
  for (const std::string& host : server.hosts) options.browser.hosts.push_back(to_lower(host));
  // An address that was asked for may be called by its number: a page cannot make a browser send
  // another one.
  for (const Listen& listen : listeners) {
    if (!listen.is_loopback()) options.browser.hosts.push_back(listen.address);
  }
  options.browser.origins = server.origins;
  options.browser.loopback_origins =
      server.loopback_origins ? http::LoopbackOrigins::kAllow : http::LoopbackOrigins::kRefuse;
  options.access = {.require_token = server.require_token,
                    .insecure = server.insecure,
                    .behind_proxy = server.behind_proxy,
                    .tokens_folder = paths.data};
  return options;
}

http::ServerLimits server_limits(const config::Settings& settings) {
  http::ServerLimits limits;
  limits.drain = settings.server.drain;
  limits.connections = settings.server.connections;
  if (!settings.server.registry) return limits;
  // The registry is for many machines: one of them is not to keep the others from it, nor the
  // API's callers.
  limits.connections_per_client =
      std::min(settings.registry_server.connections_per_client, limits.connections / 2);
  for (const auto* proxies :
       {&settings.server.behind_proxy, &settings.registry_server.behind_proxy})
    for (const std::string& proxy : *proxies)
      if (const auto network = http::Network::parse(proxy)) limits.uncounted.push_back(*network);
  return limits;
}

// The API, and the registry under /v2 where there is one, behind the API's rules for browsers.
class Both : public http::Service {
 public:
  Both(api::Api& api, RegistryHost* host) : api_(api), host_(host) {}
  void reconfigure(http::BrowserRules rules) { rules_ = std::move(rules); }

  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override {
    if (host_ == nullptr || !registryd::Registry::owns(request.url.path))
      co_return co_await api_.handle(op, std::move(request));
    if (auto refused = http::guard_browser(request, rules_, http::FormTypes::kAllow))
      co_return std::move(*refused);
    co_return co_await host_->registry().handle(op, std::move(request));
  }

 private:
  api::Api& api_;
  RegistryHost* host_;
  http::BrowserRules rules_;
};

// The parts in the order in which they are made; the references among them point upwards.
class Daemon {
 public:
  Daemon(rt::Loop& loop, config::Inputs inputs, config::Configuration configuration,
         std::unique_ptr<local::Local> local, std::unique_ptr<metrics::Registry> metrics,
         std::unique_ptr<RegistryHost> host, std::vector<Listen> listeners)
      : loop_(loop),
        inputs_(std::move(inputs)),
        configuration_(std::move(configuration)),
        listeners_(std::move(listeners)),
        local_(std::move(local)),
        metrics_(std::move(metrics)),
        host_(std::move(host)),
        engines_(local_->launcher(), local_->runner()),
        api_(loop, local_->services(), engines_, *metrics_,
             api_options(configuration_.settings, configuration_.paths, listeners_)),
        both_(api_, host_.get()),
        server_(loop, both_, server_limits(configuration_.settings)),
        background_(loop),
        op_("serve"),
        stopping_("stop") {
    if (host_) server_.answer_excess(excess_);
    both_.reconfigure(
        api_options(configuration_.settings, configuration_.paths, listeners_).browser);
    keep_log();
  }

  ~Daemon() { log::tap(nullptr); }

  Status listen();
  rt::Task<Status> run();

 private:
  // Tells the operator on stderr, and whoever reads the log.
  void say(std::string_view line);
  void keep_log();
  Result<std::string> listen_on(const Listen& listen);
  void on_signal(int number);
  static rt::Task<Status> reload(Daemon& daemon);
  void use(config::Configuration fresh);

  rt::Loop& loop_;
  config::Inputs inputs_;
  config::Configuration configuration_;
  std::vector<Listen> listeners_;
  std::unique_ptr<local::Local> local_;
  std::unique_ptr<metrics::Registry> metrics_;
  std::unique_ptr<RegistryHost> host_;  // nullptr without --registry
  Engines engines_;
  api::Api api_;
  Both both_;
  Excess excess_;
  http::Server server_;
  rt::Scope background_;  // reloads
  rt::Op op_;
  rt::Op stopping_;
  bool stop_asked_ = false;
};

Result<std::string> Daemon::listen_on(const Listen& listen) {
  const auto& server = configuration_.settings.server;
  if (listen.kind == Listen::Kind::kUnix) {
    TRY_OK(server_.listen_unix(listen.path));
    return listen.path;
  }
  if (listen.kind == Listen::Kind::kHttp) {
    TRY(const auto bound, server_.listen_tcp(listen.address, listen.port));
    return shown(bound, listen.kind);
  }
  TRY(const auto bound,
      server_.listen_tls(listen.address, listen.port, {server.tls_certificate, server.tls_key}));
  return shown(bound, listen.kind);
}

Status Daemon::listen() {
  // Before anybody is told that it listens: from then on a signal is a request to stop in order.
  loop_.handle_signals([this](int number) { on_signal(number); });
  const auto& server = configuration_.settings.server;
  if (server.insecure) {
    say("insecure: whoever can reach this server may use it, without TLS and without a token");
    log::warning("started with --insecure: no TLS and no token are asked for");
  }
  std::vector<std::string> endpoints;
  for (const Listen& wanted : listeners_) {
    TRY(const std::string where, listen_on(wanted));
    say(fmt::format("listening on {}{}", wanted.kind == Listen::Kind::kUnix ? "unix://" : "",
                    where));
    endpoints.push_back(where);
  }
  local_->system().set_endpoints(std::move(endpoints));
  return {};
}

void Daemon::say(std::string_view line) {
  fmt::print(stderr, "{}\n", line);
  local_->runner().logs().add_server(line);
}

// `berth logs` shows the server's own lines as well. They come from any thread.
void Daemon::keep_log() {
  runner::LogBuffer& logs = local_->runner().logs();
  log::tap([&loop = loop_, &logs](std::string_view line) {
    boost::asio::post(loop.context(), [&logs, text = std::string(line)] { logs.add_server(text); });
  });
}

rt::Task<Status> Daemon::run() {
  notify(inputs_.environment, fmt::format("READY=1\nMAINPID={}", ::getpid()));
  if (host_) host_->start();
  Status served = co_await server_.serve(op_);
  if (host_) (void)co_await host_->close();
  co_await background_.join();
  co_await api_.drain();
  rt::Op ending(stopping_, std::chrono::steady_clock::now() + kEngineGrace);
  const Status stopped = co_await local_->shutdown(ending);
  if (!stopped)
    log::warning("the engines did not end by themselves: {}", stopped.error().message());
  // Being told to stop is no failure.
  if (!served && stop_asked_) co_return Status();
  co_return served;
}

void Daemon::on_signal(int number) {
  if (number == SIGHUP) {
    if (!stop_asked_) background_.spawn(reload(*this));
    return;
  }
  if (stop_asked_) {
    op_.cancel(Error(Code::kCancelled, "told to stop at once"));
    stopping_.cancel();
    return;
  }
  stop_asked_ = true;
  notify(inputs_.environment, "STOPPING=1");
  say("stopping; a second signal stops at once");
  // Who only follows would wait for ever; what is being answered gets its time.
  local_->runner().logs().end();
  api_.end_following();
  server_.stop();
}

rt::Task<Status> Daemon::reload(Daemon& daemon) {
  notify(daemon.inputs_.environment, "RELOADING=1");
  const config::Inputs& inputs = daemon.inputs_;
  auto fresh = co_await rt::blocking(daemon.loop_, [&inputs] { return config::load(inputs); });
  if (fresh) {
    daemon.use(std::move(*fresh));
  } else {
    daemon.say("the configuration stays as it was: " + fresh.error().message());
  }
  notify(daemon.inputs_.environment, "READY=1");
  co_return Status();
}

void Daemon::use(config::Configuration fresh) {
  auto listeners = plan_listeners(fresh.settings, fresh.paths);
  Status valid = listeners ? api::check_rules({.behind_proxy = fresh.settings.server.behind_proxy})
                           : std::unexpected(listeners.error());
  if (valid &&
      fresh.settings.server.tls_certificate == configuration_.settings.server.tls_certificate) {
    valid = server_.reload_tls();
  }
  if (!valid) {
    say("the configuration stays as it was: " + valid.error().message());
    return;
  }
  configuration_ = std::move(fresh);
  configure_log(configuration_.settings.log);
  api::Options options = api_options(configuration_.settings, configuration_.paths, listeners_);
  both_.reconfigure(options.browser);
  api_.reconfigure(std::move(options));
  const Status users = host_ ? host_->gate().reload() : Status();
  if (!users) say("the registry's users stay as they were: " + users.error().message());
  local_->runner().configure(local::runner_settings(configuration_.settings));
  say("the configuration was read again; addresses to listen on and the store change at the next "
      "start");
}

Result<std::size_t> count_tokens(const config::Paths& paths) {
  TRY(const guard::TokenSet tokens, guard::TokenFile(paths.data).load());
  return tokens.tokens().size();
}

}  // namespace

Status serve(config::Inputs inputs) {
  TRY(config::Configuration configuration, config::load(inputs));
  const config::Settings& settings = configuration.settings;
  configure_log(settings.log);
  TRY(std::vector<Listen> listeners, plan_listeners(settings, configuration.paths));
  TRY_OK(api::check_rules({.behind_proxy = settings.server.behind_proxy}));
  TRY(const std::size_t tokens, count_tokens(configuration.paths));
  TRY_OK(check_exposure(listeners, settings, tokens));
  TRY_OK(check_registry_exposure(listeners, settings));
  TRY_OK(config::prepare_runtime(configuration.paths));
  rt::Loop loop;
  TRY(auto local, local::Local::open(loop, configuration, local::Role::kDaemon));
  TRY(const SingleDaemon single, SingleDaemon::acquire(configuration.paths.store));
  auto metrics = std::make_unique<metrics::Registry>();
  std::unique_ptr<RegistryHost> host;
  if (settings.server.registry) {
    TRY(host, RegistryHost::open(loop, *metrics, settings, configuration.paths));
    fmt::print(stderr, "the registry {} is under /v2\n", host->root());
  }
  Daemon daemon(loop, std::move(inputs), std::move(configuration), std::move(local),
                std::move(metrics), std::move(host), std::move(listeners));
  TRY_OK(daemon.listen());
  return loop.run(daemon.run());
}

}  // namespace berth::daemon
