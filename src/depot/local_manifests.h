// Manifests and tags of the local depot.
#pragma once

#include "depot/shelf.h"

namespace berth::depot {

class LocalManifests : public Manifests {
 public:
  explicit LocalManifests(Shelf& shelf) : shelf_(shelf) {}

  rt::Task<Result<std::optional<oci::Digest>>> resolve(rt::Op& op, std::string repository,
                                                       std::string tag) override;
  rt::Task<Result<std::shared_ptr<const StoredManifest>>> find_manifest(
      rt::Op& op, std::string repository, oci::Digest digest) override;
  rt::Task<Result<std::vector<oci::Digest>>> put_manifest(rt::Op& op, std::string repository,
                                                          PushedManifest pushed) override;
  rt::Task<Result<bool>> remove_manifest(rt::Op& op, std::string repository, oci::Digest digest,
                                         std::string actor) override;
  rt::Task<Result<bool>> untag(rt::Op& op, std::string repository, std::string tag,
                               std::string actor) override;

 private:
  Shelf& shelf_;
};

}  // namespace berth::depot
