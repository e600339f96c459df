// The registry as a part of a process: storage, gate, routes and the care of what it holds. `berth
// registry serve` is this and a server; `berth serve --registry` has it beside its own API. Private
// to daemon.
//
// Loop thread. close() must have been awaited before it goes.
#pragma once

#include <memory>

#include "atlas/atlas.h"
#include "config/settings.h"
#include "daemon/webhooks.h"
#include "depot/local_depot.h"
#include "metrics/metrics.h"
#include "registryd/gate.h"
#include "registryd/registry.h"
#include "rt/async.h"

namespace berth::daemon {

class Upstreams;  // what it mirrors

class RegistryHost {
 public:
  using Settings = config::Settings::RegistryServer;
  // Blocking. An empty root is registry/ in the data folder.
  static Result<std::unique_ptr<RegistryHost>> open(rt::Loop& loop, metrics::Registry& metrics,
                                                    const config::Settings& settings,
                                                    const config::Paths& paths);
  ~RegistryHost();

  registryd::Registry& registry() { return registry_; }
  depot::Depot depot() { return depot_->seam(); }  // what is here
  registryd::Gate& gate() { return *gate_; }
  const std::string& root() const { return depot_->root(); }

  void start();
  rt::Task<Status> close();

 private:
  RegistryHost(rt::Loop& loop, metrics::Registry& metrics, Settings settings,
               std::unique_ptr<depot::LocalDepot> depot, std::unique_ptr<Webhooks> webhooks,
               std::unique_ptr<Upstreams> upstreams, std::unique_ptr<registryd::Gate> gate);
  static rt::Task<Status> take_care(RegistryHost& host);
  rt::Task<Status> collect(bool first);
  rt::Task<Status> prune();

  Settings settings_;
  std::unique_ptr<depot::LocalDepot> depot_;
  std::unique_ptr<Webhooks> webhooks_;    // nullptr: nobody wants to be told
  std::unique_ptr<Upstreams> upstreams_;  // nullptr: it mirrors nothing
  std::unique_ptr<registryd::Gate> gate_;
  atlas::Atlas atlas_;
  registryd::Registry registry_;
  rt::Scope care_;
  rt::Op op_;
};

}  // namespace berth::daemon
