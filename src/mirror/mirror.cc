#include "mirror/mirror.h"

#include <algorithm>

#include "mirror/core.h"
#include "mirror/mirror_blobs.h"
#include "mirror/mirror_lists.h"
#include "mirror/mirror_manifests.h"
#include "mirror/mirror_uploads.h"

namespace berth::mirror {
namespace {

// Callers are not kept waiting for more: they are told, and what is here is served.
constexpr int kAttempts = 2;
constexpr std::chrono::seconds kRetryAfter{5};

// Upstream is asked itself: its mirrors, in the client's settings, may well be this registry.
remote::RegistryOptions upstream_options(remote::RegistryOptions options, const Options& how,
                                         const Entries& entries) {
  options.mirrors.clear();
  for (auto& [name, host] : options.hosts) host.mirrors.clear();
  for (const Entry& entry : entries.all)
    if (entry.plain_http) options.hosts[entry.upstream].plain_http = true;
  options.retry.attempts = kAttempts;
  options.retry.longest_retry_after = kRetryAfter;
  options.max_manifest_bytes = how.max_manifest;
  return options;
}

}  // namespace

Place Core::place_of(const std::string& repository) const {
  Match found = match(entries, repository);
  if (found.entry == nullptr) return {};
  const auto index = static_cast<std::size_t>(found.entry - entries.data());
  return {
      .upstream = upstreams[index].get(), .name = std::move(found.name), .repository = repository};
}

Status Core::check_changeable(const std::string& repository) const {
  const Place place = place_of(repository);
  if (!place) return {};
  return fail(Code::kNotAllowed,
              "{} is a mirror of {}, where nothing can be pushed, tagged or deleted: use another "
              "name, or {} itself",
              repository, place.upstream->name(), place.upstream->name());
}

void Core::answered(const Place& place, const std::string& question) {
  place.upstream->answered();
  stale_answers.erase(place.repository + "\n" + question);
}

void Core::answered_stale(const Place& place, const std::string& question, const Error& why) {
  place.upstream->serves_stale(why);
  stale_answers.put(place.repository + "\n" + question, place.upstream->away_since(), 0);
}

std::optional<depot::Stale> Core::stale(const std::string& repository,
                                        const std::string& question) {
  const Place place = place_of(repository);
  if (!place) return std::nullopt;
  const auto* since = stale_answers.find(repository + "\n" + question);
  if (since == nullptr) return std::nullopt;
  return depot::Stale{.upstream = place.upstream->name(), .since = *since};
}

// In the order in which they are made; the references among them point upwards.
struct Mirror::Parts {
  Parts(rt::Loop& loop, depot::Depot local, depot::Intake& intake, Options options)
      : core(loop, local, intake, std::move(options)),
        fills(core),
        blobs(core, fills),
        uploads(core),
        manifests(core),
        lists(core) {}

  Core core;
  Fills fills;
  MirrorBlobs blobs;
  MirrorUploads uploads;
  MirrorManifests manifests;
  MirrorLists lists;
};

Mirror::Mirror(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Mirror::~Mirror() = default;

Result<std::unique_ptr<Mirror>> Mirror::open(rt::Loop& loop, depot::Depot local,
                                             depot::Intake& intake, metrics::Registry& metrics,
                                             Entries entries, remote::RegistryOptions remote,
                                             Options options) {
  remote::Registries registries(loop, upstream_options(std::move(remote), options, entries));
  auto parts = std::make_unique<Parts>(loop, local, intake, std::move(options));
  Core& core = parts->core;
  core.entries = std::move(entries.all);
  for (const Entry& entry : core.entries) {
    TRY(remote::Registry registry, registries.registry(entry.upstream));
    core.upstreams.push_back(std::make_unique<Upstream>(entry, std::move(registry), metrics,
                                                        [&core] { return core.now(); }));
  }
  return std::unique_ptr<Mirror>(new Mirror(std::move(parts)));
}

depot::Depot Mirror::seam() {
  const depot::Depot& local = parts_->core.local;
  return {parts_->blobs, parts_->uploads, parts_->manifests, parts_->lists,
          local.models,  local.care,      local.events};
}

rt::Task<Status> Mirror::close() {
  parts_->core.op.cancel(Error(Code::kCancelled, "the registry stops"));
  (void)co_await parts_->core.scope.join();
  co_return Status();
}

}  // namespace berth::mirror
