#include "mirror/mirror_manifests.h"

#include "content/content.h"
#include "registryd/reading.h"

namespace berth::mirror {
namespace {

// How long a question may take when there is something here to answer with.
constexpr std::chrono::seconds kPatience{5};

}  // namespace

rt::Task<Result<std::optional<oci::Digest>>> MirrorManifests::resolve(rt::Op& op,
                                                                      std::string repository,
                                                                      std::string tag) {
  const Place place = core_.place_of(repository);
  if (!place) co_return co_await local().resolve(op, std::move(repository), std::move(tag));
  const std::string key = repository + ":" + tag;
  const bool* fresh = asked_.find(key, core_.options.check);
  if (fresh != nullptr && *fresh) {
    CO_TRY(auto here, co_await local().resolve(op, repository, tag));
    if (here) co_return std::move(here);
  }
  const bool* absent = asked_.find(key, kAbsentFor);
  if (absent != nullptr && !*absent) co_return std::nullopt;
  co_return co_await tags_.run(op, key, [&] { return check(place, tag); });
}

rt::Task<Result<MirrorManifests::Tagged>> MirrorManifests::check(Place place, std::string tag) {
  if (const auto resting = place.upstream->resting())
    co_return co_await stale(place, std::move(tag), *resting);
  CO_TRY(const Tagged here, co_await local().resolve(core_.op, place.repository, tag));
  CO_TRY(const auto repository, place.open());
  rt::Op op(core_.op, here ? std::optional(core_.op.until(kPatience)) : std::nullopt);
  auto now = co_await repository->resolve(
      op, {.registry = place.upstream->name(), .repository = place.name, .tag = tag, .digest = {}});
  CO_TRY_OK(core_.op.check());
  if (!now && now.error().code() == Code::kNotFound) co_return co_await gone(place, std::move(tag));
  if (!now)
    co_return co_await stale(place, std::move(tag), place.upstream->told(std::move(now.error())));
  core_.answered(place, tag);
  if (!here || *here != now->digest) {
    const Status taken = co_await take(place, *repository, *now, {tag});
    CO_TRY_OK(core_.op.check());
    if (!taken) {
      co_return co_await stale(place, std::move(tag), place.upstream->told(Error(taken.error())));
    }
  }
  asked_.put(place.repository + ":" + tag, true);
  co_return now->digest;
}

rt::Task<Result<MirrorManifests::Tagged>> MirrorManifests::stale(Place place, std::string tag,
                                                                 Error why) {
  CO_TRY(Tagged here, co_await local().resolve(core_.op, place.repository, tag));
  if (!here) co_return std::unexpected(std::move(why));
  core_.answered_stale(place, tag, why);
  co_return std::move(here);
}

// Upstream took the tag away, so it goes here as well; its history and manifest stay.
rt::Task<Result<MirrorManifests::Tagged>> MirrorManifests::gone(Place place, std::string tag) {
  core_.answered(place, tag);
  asked_.put(place.repository + ":" + tag, false);
  CO_TRY_OK(co_await local().untag(core_.op, place.repository, std::move(tag),
                                   {.actor = place.upstream->actor()}));
  co_return std::nullopt;
}

rt::Task<Result<std::shared_ptr<const depot::StoredManifest>>> MirrorManifests::find_manifest(
    rt::Op& op, std::string repository, oci::Digest digest) {
  CO_TRY(auto here, co_await local().find_manifest(op, repository, digest));
  const Place place = core_.place_of(repository);
  if (!place) co_return std::move(here);
  if (here) {
    place.upstream->count(Upstream::Event::kHit);
    co_return std::move(here);
  }
  const std::string key = repository + "@" + digest.string();
  if (absent_.find(key, kAbsentFor) != nullptr) co_return nullptr;
  co_return co_await manifests_.run(op, key, [&] { return fetch(place, digest); });
}

rt::Task<Result<MirrorManifests::Stored>> MirrorManifests::fetch(Place place, oci::Digest digest) {
  if (auto resting = place.upstream->resting()) co_return std::unexpected(*resting);
  CO_TRY(const auto repository, place.open());
  auto found = co_await repository->resolve(
      core_.op,
      {.registry = place.upstream->name(), .repository = place.name, .tag = "", .digest = digest});
  if (!found && found.error().code() == Code::kNotFound) {
    place.upstream->answered();
    absent_.put(place.repository + "@" + digest.string(), true);
    co_return nullptr;
  }
  if (!found) co_return std::unexpected(place.upstream->told(std::move(found.error())));
  const Status taken = co_await take(place, *repository, std::move(*found), {});
  if (!taken) co_return std::unexpected(place.upstream->told(Error(taken.error())));
  place.upstream->answered();
  co_return co_await local().find_manifest(core_.op, place.repository, std::move(digest));
}

rt::Task<Status> MirrorManifests::take(Place place, remote::Repository& from,
                                       oci::Descriptor manifest, std::vector<std::string> tags) {
  CO_TRY(const Stored here,
         co_await local().find_manifest(core_.op, place.repository, manifest.digest));
  std::string bytes;
  if (here) {
    bytes = here->bytes;
    manifest.media_type = here->media_type;
  } else {
    CO_TRY(bytes,
           co_await content::read_small(core_.op, from, manifest, core_.options.max_manifest));
    place.upstream->count(Upstream::Event::kMiss);
  }
  CO_TRY(auto reading, registryd::read_manifest(bytes, manifest.media_type));
  depot::PushedManifest pushed{
      .tags = std::move(tags),
      .children = reading.children,
      .subject = reading.subject,
      .artifact_type = reading.artifact_type,
      .referrer = registryd::referrer_descriptor(reading, manifest.digest, bytes.size()),
      .origin = {.actor = place.upstream->actor()},
      .looked_at = true};  // its files are not here
  pushed.manifest = {
      .digest = manifest.digest, .media_type = reading.media_type, .bytes = std::move(bytes)};
  CO_TRY_OK(co_await local().put_manifest(core_.op, place.repository, std::move(pushed)));
  co_return Status();
}

rt::Task<Result<std::vector<oci::Digest>>> MirrorManifests::put_manifest(
    rt::Op& op, std::string repository, depot::PushedManifest pushed) {
  CO_TRY_OK(core_.check_changeable(repository));
  co_return co_await local().put_manifest(op, std::move(repository), std::move(pushed));
}

rt::Task<Result<bool>> MirrorManifests::remove_manifest(rt::Op& op, std::string repository,
                                                        oci::Digest digest, depot::Origin origin) {
  CO_TRY_OK(core_.check_changeable(repository));
  co_return co_await local().remove_manifest(op, std::move(repository), std::move(digest),
                                             std::move(origin));
}

rt::Task<Result<bool>> MirrorManifests::untag(rt::Op& op, std::string repository, std::string tag,
                                              depot::Origin origin) {
  CO_TRY_OK(core_.check_changeable(repository));
  co_return co_await local().untag(op, std::move(repository), std::move(tag), std::move(origin));
}

rt::Task<Status> MirrorManifests::note_pull(rt::Op& op, std::string repository,
                                            std::shared_ptr<const depot::StoredManifest> manifest,
                                            std::string tag, depot::Origin origin) {
  co_return co_await local().note_pull(op, std::move(repository), std::move(manifest),
                                       std::move(tag), std::move(origin));
}

}  // namespace berth::mirror
