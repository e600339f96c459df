// Reads a pushed manifest as a model: config, the headers of its weights, and what is wrong with
// them.
//
// Loop thread; parsing and disk on the pool, one file at a time. What is wrong with the model is a
// finding of its facts and no failure. Failure: of the depot, and kCancelled.
#pragma once

#include <optional>

#include "depot/depot.h"
#include "rt/loop.h"

namespace berth::atlas {

class Inspector {
 public:
  Inspector(rt::Loop& loop, depot::Blobs& blobs) : loop_(loop), blobs_(blobs) {}

  // nullopt: not a model.
  rt::Task<Result<std::optional<depot::ModelFacts>>> inspect(
      rt::Op& op, std::string repository, std::shared_ptr<const depot::StoredManifest> manifest);

 private:
  rt::Loop& loop_;
  depot::Blobs& blobs_;
};

}  // namespace berth::atlas
