// Frees what no repository shows, while the registry serves.
//
// Loop thread. Never takes what a push in flight needs: a blob that no manifest of its repository
// names stays visible for a grace period after it was uploaded, mounted or asked for, and a blob
// that came back in the meantime keeps its file (store/collector.h).
#pragma once

#include "depot/pruner.h"
#include "depot/verifier.h"

namespace berth::depot {

class Collector : public Care {
 public:
  Collector(Shelf& shelf, Pruner& pruner, Verifier& verifier)
      : shelf_(shelf), pruner_(pruner), verifier_(verifier) {}
  rt::Task<Result<Collected>> collect(rt::Op& op, CollectOptions options) override;
  rt::Task<Result<std::vector<Pruned>>> prune(rt::Op& op, PruneOptions options) override {
    return pruner_.prune(op, std::move(options));
  }
  rt::Task<Result<std::optional<std::uint64_t>>> verify(rt::Op& op,
                                                        std::string repository) override {
    return verifier_.verify(op, std::move(repository));
  }
  rt::Task<Result<std::optional<Verification>>> verification(
      rt::Op& op, std::uint64_t pass, std::chrono::milliseconds patience) override {
    return verifier_.verification(op, pass, patience);
  }
  // Takes away files among the blobs that the catalogue does not know: a server that died between
  // a file's name and its row left them. Once after a start; `older_than` spares what is just made.
  rt::Task<Result<Collected>> collect_strays(rt::Op& op, std::chrono::seconds older_than);

 private:
  rt::Task<Result<Collected>> rehearse(rt::Op& op, std::int64_t before);
  rt::Task<Result<std::uint64_t>> hide_unused(rt::Op& op, std::int64_t before);
  rt::Task<Result<Collected>> free_orphans(rt::Op& op);
  rt::Task<Status> bury(rt::Op& op, std::vector<oci::Digest> files);

  Shelf& shelf_;
  Pruner& pruner_;
  Verifier& verifier_;
};

}  // namespace berth::depot
