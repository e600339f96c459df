// The local driver of a depot: files and SQLite in one folder, which is also an OCI image layout's
// blobs/. Format: docs/dev/depot.md.
//
// Owned by whoever serves; outlives every coroutine that uses it.
#pragma once

#include <memory>

#include "depot/collector.h"
#include "depot/depot.h"
#include "depot/local_blobs.h"
#include "depot/local_intake.h"
#include "depot/local_lists.h"
#include "depot/local_manifests.h"
#include "depot/local_models.h"
#include "depot/local_uploads.h"

namespace berth::depot {

// What a registry keeps, and whom it tells.
struct Rules {
  std::vector<std::string> quotas;                    // depot/quotas.h
  std::vector<std::string> retention;                 // depot/retention.h
  std::chrono::seconds grace{std::chrono::hours(1)};  // what came since is not pruned
  std::vector<Subscription> subscriptions;
  // For a catalogue that another program keeps locked.
  std::chrono::milliseconds patience{10'000};
  std::uint64_t verify_rate = 0;  // depot/verifier.h
};

class LocalDepot {
 public:
  // Blocking. Failures: Shelf::open; kInvalid naming a rule.
  static Result<std::unique_ptr<LocalDepot>> open(rt::Loop& loop, const std::string& root,
                                                  LocalUploads::Limits limits = {},
                                                  Rules rules = {});

  // A random secret of this registry, made when it is first asked for. Blocking.
  Result<std::string> secret(std::string_view name) const { return depot::secret(*shelf_, name); }
  Depot seam() { return {blobs_, *uploads_, manifests_, lists_, models_, collector_, outbox_}; }
  Intake& intake() { return intake_; }
  LocalUploads& uploads() { return *uploads_; }
  Collector& collector() { return collector_; }
  Verifier& verifier() { return verifier_; }
  bool has_retention() const { return pruner_.has_rules(); }
  const std::string& root() const { return shelf_->root().path(); }

 private:
  LocalDepot(std::unique_ptr<Shelf> shelf, std::unique_ptr<LocalUploads> uploads,
             std::vector<RetentionRule> retention, Rules rules, std::uint64_t disk_reserve);

  std::unique_ptr<Shelf> shelf_;
  std::unique_ptr<LocalUploads> uploads_;
  Outbox outbox_;
  LocalBlobs blobs_;
  LocalManifests manifests_;
  LocalLists lists_;
  LocalModels models_;
  Pruner pruner_;
  Verifier verifier_;
  Collector collector_;
  LocalIntake intake_;
};

}  // namespace berth::depot
