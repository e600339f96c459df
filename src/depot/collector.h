// Frees what no repository shows, while the registry serves.
//
// Loop thread. Never takes what a push in flight needs: a blob that no manifest of its repository
// names stays visible for a grace period after it was uploaded, mounted or asked for, and a blob
// that came back in the meantime keeps its file (store/collector.h).
#pragma once

#include "depot/shelf.h"

namespace berth::depot {

class Collector : public Care {
 public:
  explicit Collector(Shelf& shelf) : shelf_(shelf) {}
  rt::Task<Result<Collected>> collect(rt::Op& op, CollectOptions options) override;

 private:
  rt::Task<Result<Collected>> rehearse(rt::Op& op, std::int64_t before);
  rt::Task<Result<std::uint64_t>> hide_unused(rt::Op& op, std::int64_t before);
  rt::Task<Result<Collected>> free_orphans(rt::Op& op);

  Shelf& shelf_;
};

}  // namespace berth::depot
