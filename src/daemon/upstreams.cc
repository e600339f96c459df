#include "daemon/upstreams.h"

#include "local/shared.h"

namespace berth::daemon {

Result<std::unique_ptr<Upstreams>> Upstreams::open(rt::Loop& loop, metrics::Registry& metrics,
                                                   const config::Settings& settings,
                                                   const config::Paths& paths,
                                                   depot::LocalDepot& depot) {
  const auto& server = settings.registry_server;
  TRY(mirror::Entries entries, mirror::parse_entries(server.mirrors));
  if (entries.all.empty()) return nullptr;
  std::unique_ptr<Upstreams> made(new Upstreams(loop, settings, std::move(entries), paths.data));
  TRY(made->mirror_,
      mirror::Mirror::open(
          loop, depot.seam(), depot.intake(), metrics, made->entries_,
          local::registry_options(made->client_, made->credentials_, settings, &made->memory_),
          {.check = server.mirror_check, .max_manifest = server.max_manifest}));
  return made;
}

Upstreams::Upstreams(rt::Loop& loop, const config::Settings& settings, mirror::Entries entries,
                     const std::string& folder)
    : entries_(std::move(entries)),
      client_(loop, local::client_options(settings)),
      credentials_(loop),
      memory_(loop, folder + "/transfer") {}

std::vector<registryd::Namespace> Upstreams::namespaces() const {
  std::vector<registryd::Namespace> found;
  for (const mirror::Entry& entry : entries_.all)
    found.push_back({.source = entry.upstream, .prefix = entry.prefix});
  return found;
}

}  // namespace berth::daemon
