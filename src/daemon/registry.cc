#include "daemon/registry.h"

#include <csignal>
#include <cstdio>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/access_log.h"
#include "daemon/excess.h"
#include "daemon/listen.h"
#include "daemon/log_settings.h"
#include "daemon/notify.h"
#include "daemon/registry_host.h"
#include "http/browser_guard.h"
#include "http/server.h"
#include "metrics/metrics.h"
#include "registryd/web_page.h"
#include "rt/async.h"

namespace berth::daemon {
namespace {

constexpr std::uint16_t kPort = 5000;

using Settings = config::Settings::RegistryServer;

Result<std::vector<Listen>> plan(const Settings& settings) {
  std::vector<Listen> listeners;
  for (const std::string& text : settings.listen) {
    TRY(Listen listen, parse_listen(text));
    listeners.push_back(std::move(listen));
  }
  if (listeners.empty()) listeners.push_back({.address = "127.0.0.1", .port = kPort});
  for (const Listen& listen : listeners) {
    const bool tls = listen.kind == Listen::Kind::kHttps;
    if (tls && (settings.tls_certificate.empty() || settings.tls_key.empty())) {
      return fail(Code::kInvalid, "listening with TLS needs --tls-cert and --tls-key (PEM files)");
    }
    if (listen.is_loopback() || settings.insecure || !settings.behind_proxy.empty()) continue;
    if (tls && (settings.tokens || !settings.htpasswd.empty())) continue;
    return fail(Code::kInvalid,
                "{}:{} can be reached from other machines, so it needs TLS and users, and there "
                "is no {}; {}, or name the proxies in front with --behind-proxy CIDR, or say "
                "--insecure",
                listen.address, listen.port, tls ? "file of users" : "TLS",
                tls ? "make one with: htpasswd -cB FILE NAME, and give it with --htpasswd FILE, or "
                      "set registry_server.tokens and use: berth token create"
                    : "listen on https://... with --tls-cert and --tls-key");
  }
  return listeners;
}

std::vector<http::Network> proxies_of(const Settings& settings) {
  std::vector<http::Network> proxies;
  for (const std::string& proxy : settings.behind_proxy) {
    if (const auto network = http::Network::parse(proxy)) proxies.push_back(*network);
  }
  return proxies;
}

http::ServerLimits limits_of(const Settings& settings) {
  http::ServerLimits limits;
  limits.connections = settings.connections;
  limits.drain = settings.drain;
  limits.connections_per_client = settings.connections_per_client;
  limits.uncounted = proxies_of(settings);
  return limits;
}

// What probes ask: whether the process lives, and whether it wants more work. A registry that is
// about to stop lives and wants none.
class Health {
 public:
  static bool owns(std::string_view path) { return path == "/healthz" || path == "/readyz"; }
  void drain() { draining_ = true; }
  http::Response answer(const http::Request& request) const {
    const bool draining = draining_ && request.url.path == "/readyz";
    http::Response response = http::reply(draining ? 503 : 200, "text/plain; charset=utf-8",
                                          draining ? "draining\n" : "ok\n");
    response.headers.set("Cache-Control", "no-store");
    return response;
  }

 private:
  bool draining_ = false;
};

// The registry, its health, its metrics and its page, behind the rules for browsers.
class Front : public http::Service {
 public:
  Front(registryd::Registry& registry, registryd::WebPage& page, const metrics::Registry& metrics,
        const Health& health, http::BrowserRules rules, bool any_secure_host)
      : registry_(registry),
        page_(page),
        metrics_(metrics),
        health_(health),
        rules_(std::move(rules)),
        any_secure_host_(any_secure_host) {}

  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override {
    // A link from a wiki to the page is no attack: it only reads, and is shown to who clicked.
    if (is_page(request) && registryd::WebPage::is_visit(request))
      request.headers.remove("Sec-Fetch-Site");
    if (auto refused = http::guard_browser(request, rules_of(request), http::FormTypes::kAllow))
      co_return std::move(*refused);
    if (registryd::Registry::owns(request.url.path))
      co_return co_await registry_.handle(op, std::move(request));
    if (is_page(request)) co_return co_await page_.handle(op, std::move(request));
    if (request.method != "GET" && request.method != "HEAD") co_return only_reads();
    if (request.url.path == "/metrics")
      co_return http::reply(200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text());
    co_return health_.answer(request);
  }

 private:
  static bool is_page(const http::Request& request) {
    const std::string& path = request.url.path;
    return !registryd::Registry::owns(path) && !Health::owns(path) && path != "/metrics";
  }
  static http::Response only_reads() {
    http::Response response = http::reply(405, "text/plain; charset=utf-8", "only GET and HEAD\n");
    response.headers.set("Allow", "GET, HEAD");
    return response;
  }
  // Whoever logs in over TLS may call the registry by any of its names: a page of a stranger has
  // no credentials to send.
  http::BrowserRules rules_of(const http::Request& request) const {
    http::BrowserRules rules = rules_;
    const bool logs_in = registryd::Registry::owns(request.url.path) || is_page(request);
    if (any_secure_host_ && request.secure && logs_in) rules.hosts.emplace_back("*");
    return rules;
  }

  registryd::Registry& registry_;
  registryd::WebPage& page_;
  const metrics::Registry& metrics_;
  const Health& health_;
  http::BrowserRules rules_;
  bool any_secure_host_;
};

// Whoever asks for its health hears that also on connections that are too many.
class HealthOrExcess : public http::Service {
 public:
  explicit HealthOrExcess(const Health& health) : health_(health) {}
  rt::Task<Result<http::Response>> handle(rt::Op&, http::Request request) override {
    if (Health::owns(request.url.path)) co_return health_.answer(request);
    co_return too_many_connections();
  }

 private:
  const Health& health_;
};

http::BrowserRules browser_rules(const Settings& settings, const std::vector<Listen>& listeners) {
  http::BrowserRules rules{.hosts = settings.hosts};
  for (std::string& host : rules.hosts) host = to_lower(host);
  for (const Listen& listen : listeners)
    if (!listen.is_loopback()) rules.hosts.push_back(settings.insecure ? "*" : listen.address);
  return rules;
}

class RegistryDaemon {
 public:
  RegistryDaemon(rt::Loop& loop, config::Inputs inputs, const config::Configuration& configuration,
                 std::unique_ptr<metrics::Registry> metrics, std::unique_ptr<RegistryHost> host,
                 std::vector<Listen> listeners)
      : loop_(loop),
        inputs_(std::move(inputs)),
        settings_(configuration.settings.registry_server),
        listeners_(std::move(listeners)),
        metrics_(std::move(metrics)),
        host_(std::move(host)),
        page_(loop, host_->depot(), host_->gate()),
        front_(host_->registry(), page_, *metrics_, health_, browser_rules(settings_, listeners_),
               settings_.tokens || !settings_.htpasswd.empty()),
        access_log_(front_, log_format(configuration.settings.log), proxies_of(settings_)),
        excess_(health_),
        server_(loop, settings_.access_log ? static_cast<http::Service&>(access_log_) : front_,
                limits_of(settings_)),
        background_(loop),
        op_("registry"),
        delaying_("shutdown delay") {
    server_.answer_excess(excess_);
  }

  Status listen();
  rt::Task<Status> run();

 private:
  Result<http::TcpEndpoint> listen_on(const Listen& listen);
  void on_signal(int number);
  static rt::Task<Status> reload(RegistryDaemon& daemon);
  static rt::Task<Status> stop_after_delay(RegistryDaemon& daemon);

  rt::Loop& loop_;
  config::Inputs inputs_;
  Settings settings_;
  std::vector<Listen> listeners_;
  std::unique_ptr<metrics::Registry> metrics_;
  std::unique_ptr<RegistryHost> host_;
  registryd::WebPage page_;
  Health health_;
  Front front_;
  AccessLog access_log_;
  HealthOrExcess excess_;
  http::Server server_;
  rt::Scope background_;
  rt::Op op_;
  rt::Op delaying_;
  bool stop_asked_ = false;
};

Result<http::TcpEndpoint> RegistryDaemon::listen_on(const Listen& listen) {
  if (listen.kind == Listen::Kind::kHttps) {
    return server_.listen_tls(listen.address, listen.port,
                              {settings_.tls_certificate, settings_.tls_key});
  }
  return server_.listen_tcp(listen.address, listen.port);
}

Status RegistryDaemon::listen() {
  // Before anybody is told that it listens: from then on a signal is a request to stop in order.
  loop_.handle_signals([this](int number) { on_signal(number); });
  if (settings_.insecure) {
    fmt::print(stderr, "insecure: whoever can reach this registry may push and delete\n");
    log::warning("the registry was started with --insecure: it asks nobody for TLS or a user");
  }
  for (const Listen& listen : listeners_) {
    TRY(const http::TcpEndpoint bound, listen_on(listen));
    fmt::print(stderr, "the registry {} listens on {}\n", host_->root(), shown(bound, listen.kind));
  }
  return {};
}

rt::Task<Status> RegistryDaemon::run() {
  host_->start();
  notify(inputs_.environment, fmt::format("READY=1\nMAINPID={}", ::getpid()));
  Status served = co_await server_.serve(op_);
  delaying_.cancel();
  (void)co_await background_.join();
  (void)co_await host_->close();
  if (!served && stop_asked_) co_return Status();
  co_return served;
}

void RegistryDaemon::on_signal(int number) {
  if (number == SIGHUP) {
    background_.spawn(reload(*this));
    return;
  }
  if (stop_asked_) {
    op_.cancel(Error(Code::kCancelled, "told to stop at once"));
    return;
  }
  stop_asked_ = true;
  notify(inputs_.environment, "STOPPING=1");
  health_.drain();
  if (settings_.shutdown_delay.count() == 0) return server_.stop();
  fmt::print(stderr, "stopping in {}: /readyz says so, a second signal stops at once\n",
             format_duration(settings_.shutdown_delay));
  background_.spawn(stop_after_delay(*this));
}

// Time for a balancer to hear that this registry is not ready, and to send its clients elsewhere.
rt::Task<Status> RegistryDaemon::stop_after_delay(RegistryDaemon& daemon) {
  (void)co_await rt::sleep_for(daemon.delaying_, daemon.settings_.shutdown_delay);
  daemon.server_.stop();
  co_return Status();
}

rt::Task<Status> RegistryDaemon::reload(RegistryDaemon& daemon) {
  const Status certificate =
      daemon.settings_.tls_certificate.empty() ? Status() : daemon.server_.reload_tls();
  const Status users = daemon.host_->gate().reload();
  for (const Status& read : {certificate, users}) {
    if (!read) fmt::print(stderr, "what was read before stays: {}\n", read.error().message());
  }
  if (certificate && users) fmt::print(stderr, "certificates and users were read again\n");
  co_return Status();
}

}  // namespace

Status serve_registry(config::Inputs inputs) {
  TRY(const config::Configuration configuration, config::load(inputs));
  configure_log(configuration.settings.log);
  const Settings& settings = configuration.settings.registry_server;
  TRY(std::vector<Listen> listeners, plan(settings));
  rt::Loop loop;
  auto metrics = std::make_unique<metrics::Registry>();
  TRY(auto host, RegistryHost::open(loop, *metrics, configuration.settings, configuration.paths));
  RegistryDaemon daemon(loop, std::move(inputs), configuration, std::move(metrics), std::move(host),
                        std::move(listeners));
  TRY_OK(daemon.listen());
  return loop.run(daemon.run());
}

}  // namespace berth::daemon
