// Blobs that the registry fetches itself, in the local depot: the store's intake, with a row for
// the repository.
#pragma once

#include "depot/shelf.h"

namespace berth::depot {

class LocalIntake : public Intake {
 public:
  // `disk_reserve`: bytes of the disk that stay free.
  LocalIntake(Shelf& shelf, std::uint64_t disk_reserve)
      : shelf_(shelf), disk_reserve_(disk_reserve) {}

  rt::Task<Result<std::optional<std::uint64_t>>> named_size(rt::Op& op, std::string repository,
                                                            oci::Digest digest) override;
  std::shared_ptr<Arriving> announce(oci::Descriptor blob) override;
  rt::Task<Status> take_in(rt::Op& op, std::string repository, std::shared_ptr<Arriving> announced,
                           content::Fetcher& from, content::Progress& progress) override;

 private:
  Shelf& shelf_;
  std::uint64_t disk_reserve_;
};

}  // namespace berth::depot
