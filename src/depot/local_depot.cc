#include "depot/local_depot.h"

namespace berth::depot {

Result<std::unique_ptr<LocalDepot>> LocalDepot::open(rt::Loop& loop, const std::string& root,
                                                     LocalUploads::Limits limits, Rules rules) {
  TRY(Quotas quotas, Quotas::parse(rules.quotas));
  TRY(auto retention, RetentionRule::parse_all(rules.retention));
  TRY(auto shelf, Shelf::open(loop, root, rules.patience));
  TRY_OK(shelf->set_quotas(std::move(quotas)));
  TRY(auto uploads, LocalUploads::open(*shelf, limits));
  std::unique_ptr<LocalDepot> depot(new LocalDepot(std::move(shelf), std::move(uploads),
                                                   std::move(retention), std::move(rules),
                                                   limits.disk_reserve));
  TRY_OK(depot->outbox_.prepare());
  return depot;
}

LocalDepot::LocalDepot(std::unique_ptr<Shelf> shelf, std::unique_ptr<LocalUploads> uploads,
                       std::vector<RetentionRule> retention, Rules rules,
                       std::uint64_t disk_reserve)
    : shelf_(std::move(shelf)),
      uploads_(std::move(uploads)),
      outbox_(*shelf_, std::move(rules.subscriptions)),
      blobs_(*shelf_),
      manifests_(*shelf_, outbox_),
      lists_(*shelf_),
      models_(*shelf_),
      pruner_(*shelf_, outbox_, std::move(retention), rules.grace),
      verifier_(*shelf_, rules.verify_rate),
      collector_(*shelf_, pruner_, verifier_),
      intake_(*shelf_, disk_reserve) {}

}  // namespace berth::depot
