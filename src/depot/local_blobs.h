// Blobs of the local depot.
#pragma once

#include "depot/shelf.h"

namespace berth::depot {

class LocalBlobs : public Blobs {
 public:
  explicit LocalBlobs(Shelf& shelf) : shelf_(shelf) {}

  rt::Task<Result<std::optional<std::uint64_t>>> find_blob(rt::Op& op, std::string repository,
                                                           oci::Digest digest) override;
  rt::Task<Result<std::optional<OpenBlob>>> open_blob(rt::Op& op, std::string repository,
                                                      oci::Digest digest) override;
  rt::Task<Result<bool>> mount(rt::Op& op, std::string repository, oci::Digest digest,
                               std::string from) override;
  rt::Task<Result<bool>> remove_blob(rt::Op& op, std::string repository,
                                     oci::Digest digest) override;

 private:
  Shelf& shelf_;
};

// Inside a write transaction: shows the blob in the repository.
Status add_member(Database& database, std::int64_t repository, const oci::Digest& digest);
// The same for one that comes anew: kDenied when that is more than the repository may hold.
Status admit_member(Database& database, const Quotas& quotas, const std::string& repository,
                    const oci::Digest& digest);

}  // namespace berth::depot
