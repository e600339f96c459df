// control::Models over the local store.
#pragma once

#include "control/control.h"
#include "local/shared.h"

namespace berth::local {

class Models : public control::Models {
 public:
  explicit Models(Shared& shared) : shared_(shared) {}

  rt::Task<Result<std::vector<control::Model>>> list(rt::Op& op) override;
  rt::Task<Result<control::ModelDetail>> inspect(rt::Op& op, std::string model,
                                                 bool remote) override;
  rt::Task<Result<std::string>> tag(rt::Op& op, std::string source, std::string target) override;
  rt::Task<Result<control::RemoveResult>> remove(rt::Op& op, std::string model,
                                                 bool force) override;
  rt::Task<Result<control::RemoveResult>> purge(rt::Op& op) override;
  rt::Task<Result<control::PruneResult>> prune(rt::Op& op, bool dry_run) override;

 private:
  rt::Task<Result<control::ModelDetail>> inspect_remote(rt::Op& op, std::string model);
  rt::Task<Result<control::RemoveResult>> untag(rt::Op& op, oci::Reference tag);
  rt::Task<Result<control::RemoveResult>> remove_whole(rt::Op& op, store::Record record);

  Shared& shared_;
};

}  // namespace berth::local
