// What the local depot knows of its models, and what its repositories and manifests weigh.
#pragma once

#include "depot/shelf.h"

namespace berth::depot {

class LocalModels : public Models {
 public:
  explicit LocalModels(Shelf& shelf) : shelf_(shelf) {}

  rt::Task<Result<std::vector<ManifestPlace>>> not_looked_at(rt::Op& op,
                                                             std::size_t limit) override;
  rt::Task<Status> keep(rt::Op& op, ManifestPlace place, std::optional<ModelFacts> facts) override;
  rt::Task<Result<ModelPage>> search(rt::Op& op, ModelQuery query) override;
  rt::Task<Result<std::vector<Usage>>> usage_of(rt::Op& op,
                                                std::vector<std::string> repositories) override;
  rt::Task<Result<std::vector<Usage>>> usage_in(rt::Op& op, std::string repository,
                                                PageRequest request) override;

 private:
  Shelf& shelf_;
};

}  // namespace berth::depot
