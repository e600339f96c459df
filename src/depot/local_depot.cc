#include "depot/local_depot.h"

namespace berth::depot {

Result<std::unique_ptr<LocalDepot>> LocalDepot::open(rt::Loop& loop, const std::string& root,
                                                     LocalUploads::Limits limits) {
  TRY(auto shelf, Shelf::open(loop, root));
  TRY(auto uploads, LocalUploads::open(*shelf, limits));
  return std::unique_ptr<LocalDepot>(
      new LocalDepot(std::move(shelf), std::move(uploads), limits.disk_reserve));
}

LocalDepot::LocalDepot(std::unique_ptr<Shelf> shelf, std::unique_ptr<LocalUploads> uploads,
                       std::uint64_t disk_reserve)
    : shelf_(std::move(shelf)),
      uploads_(std::move(uploads)),
      blobs_(*shelf_),
      manifests_(*shelf_),
      lists_(*shelf_),
      models_(*shelf_),
      collector_(*shelf_),
      intake_(*shelf_, disk_reserve) {}

}  // namespace berth::depot
