// Carries out retention rules, repository by repository, while the registry serves.
//
// Loop thread. What is judged is one state of a repository; what was pushed, tagged or named since
// stays. Failures: those of the catalogue.
#pragma once

#include "depot/outbox.h"
#include "depot/retention.h"

namespace berth::depot {

class Pruner {
 public:
  Pruner(Shelf& shelf, const Outbox& outbox, std::vector<RetentionRule> rules,
         std::chrono::seconds grace)
      : shelf_(shelf), outbox_(outbox), rules_(std::move(rules)), grace_(grace) {}

  bool has_rules() const { return !rules_.empty(); }
  // kInvalid naming a rule of the options that is none.
  rt::Task<Result<std::vector<Pruned>>> prune(rt::Op& op, PruneOptions options);

 private:
  using Rules = std::vector<RetentionRule>;
  rt::Task<Result<std::vector<Pruned>>> prune_one(rt::Op& op, std::string repository,
                                                  const Rules& rules, const PruneOptions& options);
  // What really went.
  rt::Task<Result<Doomed>> take(rt::Op& op, std::string repository, Doomed doomed, Origin origin);

  Shelf& shelf_;
  const Outbox& outbox_;
  Rules rules_;
  std::chrono::seconds grace_;
};

}  // namespace berth::depot
