#include "daemon/registry_host.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "daemon/upstreams.h"

namespace berth::daemon {
namespace {

constexpr auto kFirstCollection = std::chrono::minutes(1);

std::chrono::seconds whole_seconds(std::chrono::milliseconds time) {
  return std::chrono::ceil<std::chrono::seconds>(time);
}

}  // namespace

Result<std::unique_ptr<RegistryHost>> RegistryHost::open(rt::Loop& loop, metrics::Registry& metrics,
                                                         const config::Settings& all,
                                                         const config::Paths& paths) {
  Settings settings = all.registry_server;
  if (settings.root.empty()) settings.root = paths.data + "/registry";
  TRY(auto subscriptions, Webhooks::subscriptions(all));
  TRY(auto depot,
      depot::LocalDepot::open(loop, settings.root, {.disk_reserve = settings.disk_reserve},
                              {.quotas = settings.quotas,
                               .retention = settings.retention,
                               .grace = whole_seconds(settings.collect_grace),
                               .subscriptions = std::move(subscriptions),
                               .verify_rate = settings.verify_rate}));
  TRY(auto webhooks, Webhooks::open(loop, metrics, all, *depot));
  TRY(auto upstreams, Upstreams::open(loop, metrics, all, paths, *depot));
  TRY(const std::string key, depot->secret("token.key"));
  TRY(auto gate, registryd::Gate::open(loop, {.htpasswd = settings.htpasswd,
                                              .tokens = settings.tokens ? paths.data : "",
                                              .rules = settings.rules,
                                              .anonymous_pull = settings.anonymous_pull,
                                              .behind_proxy = settings.behind_proxy,
                                              .ollama_keys = settings.ollama_keys,
                                              .key = key,
                                              .limits = {settings.requests_per_client,
                                                         settings.uploads_per_client}}));
  return std::unique_ptr<RegistryHost>(new RegistryHost(loop, metrics, std::move(settings),
                                                        std::move(depot), std::move(webhooks),
                                                        std::move(upstreams), std::move(gate)));
}

RegistryHost::~RegistryHost() = default;

RegistryHost::RegistryHost(rt::Loop& loop, metrics::Registry& metrics, Settings settings,
                           std::unique_ptr<depot::LocalDepot> depot,
                           std::unique_ptr<Webhooks> webhooks, std::unique_ptr<Upstreams> upstreams,
                           std::unique_ptr<registryd::Gate> gate)
    : settings_(std::move(settings)),
      depot_(std::move(depot)),
      webhooks_(std::move(webhooks)),
      upstreams_(std::move(upstreams)),
      gate_(std::move(gate)),
      atlas_(loop, depot_->seam(), atlas::check_from(settings_.check_models)),
      registry_(upstreams_ ? upstreams_->seam() : depot_->seam(), atlas_, *gate_, metrics,
                {.max_manifest = settings_.max_manifest,
                 .collect_grace = whole_seconds(settings_.collect_grace),
                 .namespaces =
                     upstreams_ ? upstreams_->namespaces() : std::vector<registryd::Namespace>(),
                 .fallback = upstreams_ ? upstreams_->fallback() : ""}),
      care_(loop),
      op_("registry's care") {
  depot_->verifier().when_checked([&metrics](std::uint64_t bytes, auto damage) {
    const std::string result(damage ? depot::to_string(*damage) : "right");
    metrics.count("berth_registry_verified_blobs", "Stored blobs that were read again.",
                  {{"result", result}});
    metrics.count("berth_registry_verified_bytes", "Bytes of those.", {},
                  static_cast<double>(bytes));
  });
}

void RegistryHost::start() {
  atlas_.start();
  if (webhooks_) webhooks_->start();
  if (settings_.collect_every.count() > 0) care_.spawn(take_care(*this));
  if (settings_.verify_every.count() > 0) {
    care_.spawn(depot_->verifier().run_regularly(op_, whole_seconds(settings_.verify_every)));
  }
}

rt::Task<Status> RegistryHost::close() {
  op_.cancel();
  (void)co_await care_.join();
  (void)co_await depot_->verifier().close();
  if (webhooks_) (void)co_await webhooks_->close();
  if (upstreams_) (void)co_await upstreams_->close();
  co_return co_await atlas_.close();
}

rt::Task<Status> RegistryHost::take_care(RegistryHost& host) {
  const auto every = host.settings_.collect_every;
  std::chrono::milliseconds pause = std::min<std::chrono::milliseconds>(kFirstCollection, every);
  bool first = true;
  for (;;) {
    if (!co_await rt::sleep_for(host.op_, pause)) co_return Status();
    const Status done = co_await host.collect(first);
    first = false;
    if (!done && host.op_.cancelled()) co_return Status();
    if (!done) log::error("the registry could not be tidied: {}", done.error().message());
    pause = every;
  }
}

rt::Task<Status> RegistryHost::collect(bool first) {
  const std::chrono::seconds grace = whole_seconds(settings_.collect_grace);
  CO_TRY_OK(co_await depot_->uploads().expire(op_, whole_seconds(settings_.upload_expiry)));
  if (first) CO_TRY_OK(co_await depot_->collector().collect_strays(op_, grace));
  CO_TRY_OK(co_await prune());
  CO_TRY(const depot::Collected freed, co_await depot_->collector().collect(op_, {.grace = grace}));
  if (freed.blobs > 0) log::info("freed {} blobs, {}", freed.blobs, format_size(freed.bytes));
  co_return Status();
}

rt::Task<Status> RegistryHost::prune() {
  if (!depot_->has_retention()) co_return Status();
  CO_TRY(const auto pruned, co_await depot_->collector().prune(op_, {}));
  for (const depot::Pruned& one : pruned) {
    log::info("retention took {}{}{}: {}", one.repository, one.tag.empty() ? "@" : ":",
              one.tag.empty() ? one.digest : one.tag, one.why);
  }
  co_return Status();
}

}  // namespace berth::daemon
