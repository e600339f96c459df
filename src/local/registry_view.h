// Asks a registry of Berth's, with the credentials that pulling from it takes.
//
// Loop thread. Lives as long as Shared.
#pragma once

#include "control/registry_view.h"
#include "local/shared.h"

namespace berth::local {

class RegistryView : public control::RegistryView {
 public:
  explicit RegistryView(Shared& shared) : shared_(shared) {}

  rt::Task<Result<std::vector<control::RegistryModel>>> models(
      rt::Op& op, std::string registry, control::RegistryQuery query) override;
  rt::Task<Result<std::vector<control::RegistryTag>>> tags(rt::Op& op, std::string registry,
                                                           std::string repository) override;
  rt::Task<Result<std::vector<control::RegistryMove>>> history(rt::Op& op, std::string registry,
                                                               std::string repository,
                                                               std::string tag) override;
  rt::Task<Result<std::vector<control::RegistryUsage>>> usage(rt::Op& op, std::string registry,
                                                              std::string repository) override;
  rt::Task<Result<control::RegistryCollection>> collect(rt::Op& op, std::string registry,
                                                        bool dry_run) override;
  rt::Task<Result<std::vector<control::RegistryPruned>>> prune(
      rt::Op& op, std::string registry, control::RegistryPruning pruning) override;
  rt::Task<Result<control::RegistryVerification>> verify(rt::Op& op, std::string registry,
                                                         std::string repository,
                                                         control::Events& progress) override;
  rt::Task<Result<control::RegistryEvents>> events(rt::Op& op, std::string registry) override;
  rt::Task<Result<std::uint64_t>> revive(rt::Op& op, std::string registry,
                                         std::string endpoint) override;

 private:
  Shared& shared_;
};

}  // namespace berth::local
