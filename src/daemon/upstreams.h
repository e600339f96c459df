// The registries that a registry mirrors, reached as this machine's client reaches registries: its
// credentials, proxies, authorities and limits. Private to daemon.
//
// Loop thread. close() must have been awaited before it goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/settings.h"
#include "depot/local_depot.h"
#include "http/client.h"
#include "metrics/metrics.h"
#include "mirror/mirror.h"
#include "registryd/registry.h"
#include "remote/credentials.h"
#include "remote/host_memory.h"

namespace berth::daemon {

class Upstreams {
 public:
  // nullptr: there are none. kInvalid for an entry that is none.
  static Result<std::unique_ptr<Upstreams>> open(rt::Loop& loop, metrics::Registry& metrics,
                                                 const config::Settings& settings,
                                                 const config::Paths& paths,
                                                 depot::LocalDepot& depot);

  depot::Depot seam() { return mirror_->seam(); }
  std::vector<registryd::Namespace> namespaces() const;
  const std::string& fallback() const { return entries_.fallback; }
  rt::Task<Status> close() { co_return co_await mirror_->close(); }

 private:
  Upstreams(rt::Loop& loop, const config::Settings& settings, mirror::Entries entries,
            const std::string& folder);

  mirror::Entries entries_;
  http::Client client_;
  remote::CredentialStore credentials_;
  remote::FileHostMemory memory_;
  std::unique_ptr<mirror::Mirror> mirror_;
};

}  // namespace berth::daemon
