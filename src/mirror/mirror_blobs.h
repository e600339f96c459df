// Blobs of a mirror. One is shown in a repository when upstream shows it there: a manifest that
// came from there names it, or upstream is asked.
#pragma once

#include "mirror/fills.h"
#include "mirror/single_flight.h"

namespace berth::mirror {

class MirrorBlobs : public depot::Blobs {
 public:
  MirrorBlobs(Core& core, Fills& fills)
      : core_(core), fills_(fills), questions_(core.loop, core.scope), said_(core) {}

  rt::Task<Result<std::optional<std::uint64_t>>> find_blob(rt::Op& op, std::string repository,
                                                           oci::Digest digest) override;
  rt::Task<Result<std::optional<depot::OpenBlob>>> open_blob(rt::Op& op, std::string repository,
                                                             oci::Digest digest) override;
  rt::Task<Result<bool>> mount(rt::Op& op, std::string repository, oci::Digest digest,
                               std::string from) override;
  rt::Task<Result<bool>> remove_blob(rt::Op& op, std::string repository,
                                     oci::Digest digest) override;

 private:
  using Size = std::optional<std::uint64_t>;
  // The size of a blob that is not in the repository here, when upstream has it there.
  rt::Task<Result<Size>> size_upstream(rt::Op& op, Place place, oci::Digest digest);
  // The same by upstream's own word.
  rt::Task<Result<Size>> said_upstream(rt::Op& op, Place place, oci::Digest digest);
  rt::Task<Result<Size>> ask(Place place, oci::Digest digest);

  Core& core_;
  Fills& fills_;
  SingleFlight<Size> questions_;
  Memory<Size> said_;  // by repository and digest
};

}  // namespace berth::mirror
