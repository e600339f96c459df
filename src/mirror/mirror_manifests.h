// Manifests and tags of a mirror.
#pragma once

#include "mirror/core.h"
#include "mirror/memory.h"
#include "mirror/single_flight.h"

namespace berth::mirror {

class MirrorManifests : public depot::Manifests {
 public:
  explicit MirrorManifests(Core& core)
      : core_(core),
        tags_(core.loop, core.scope),
        manifests_(core.loop, core.scope),
        asked_(core),
        absent_(core) {}

  rt::Task<Result<std::optional<oci::Digest>>> resolve(rt::Op& op, std::string repository,
                                                       std::string tag) override;
  rt::Task<Result<std::shared_ptr<const depot::StoredManifest>>> find_manifest(
      rt::Op& op, std::string repository, oci::Digest digest) override;
  rt::Task<Result<std::vector<oci::Digest>>> put_manifest(rt::Op& op, std::string repository,
                                                          depot::PushedManifest pushed) override;
  rt::Task<Result<bool>> remove_manifest(rt::Op& op, std::string repository, oci::Digest digest,
                                         depot::Origin origin) override;
  rt::Task<Result<bool>> untag(rt::Op& op, std::string repository, std::string tag,
                               depot::Origin origin) override;
  rt::Task<Status> note_pull(rt::Op& op, std::string repository,
                             std::shared_ptr<const depot::StoredManifest> manifest, std::string tag,
                             depot::Origin origin) override;

 private:
  using Tagged = std::optional<oci::Digest>;
  using Stored = std::shared_ptr<const depot::StoredManifest>;

  // Asks upstream what a tag stands for, and has it here then.
  rt::Task<Result<Tagged>> check(Place place, std::string tag);
  // What the tag stands for here, when upstream cannot be asked; its failure when that is nothing.
  rt::Task<Result<Tagged>> stale(Place place, std::string tag, Error why);
  rt::Task<Result<Tagged>> gone(Place place, std::string tag);
  rt::Task<Result<Stored>> fetch(Place place, oci::Digest digest);
  // Brings the manifest here and lets the tags stand for it.
  rt::Task<Status> take(Place place, remote::Repository& from, oci::Descriptor manifest,
                        std::vector<std::string> tags);

  depot::Manifests& local() { return core_.local.manifests; }

  Core& core_;
  SingleFlight<Tagged> tags_;
  SingleFlight<Stored> manifests_;
  Memory<bool> asked_;   // by repository and tag: whether upstream has it
  Memory<bool> absent_;  // by repository and digest
};

}  // namespace berth::mirror
