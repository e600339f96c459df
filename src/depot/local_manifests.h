// Manifests and tags of the local depot.
#pragma once

#include "depot/outbox.h"

namespace berth::depot {

class LocalManifests : public Manifests {
 public:
  LocalManifests(Shelf& shelf, const Outbox& outbox) : shelf_(shelf), outbox_(outbox) {}

  rt::Task<Result<std::optional<oci::Digest>>> resolve(rt::Op& op, std::string repository,
                                                       std::string tag) override;
  rt::Task<Result<std::shared_ptr<const StoredManifest>>> find_manifest(
      rt::Op& op, std::string repository, oci::Digest digest) override;
  rt::Task<Result<std::vector<oci::Digest>>> put_manifest(rt::Op& op, std::string repository,
                                                          PushedManifest pushed) override;
  rt::Task<Result<bool>> remove_manifest(rt::Op& op, std::string repository, oci::Digest digest,
                                         Origin origin) override;
  rt::Task<Result<bool>> untag(rt::Op& op, std::string repository, std::string tag,
                               Origin origin) override;
  rt::Task<Status> note_pull(rt::Op& op, std::string repository,
                             std::shared_ptr<const StoredManifest> manifest, std::string tag,
                             Origin origin) override;

 private:
  Shelf& shelf_;
  const Outbox& outbox_;
};

}  // namespace berth::depot
