// The engines of this process as the API sees them. Private to daemon.
#pragma once

#include "api/engines.h"
#include "local/launcher.h"
#include "runner/runner.h"

namespace berth::daemon {

class Engines : public api::Engines {
 public:
  Engines(local::Launcher& launcher, runner::Runner& runner)
      : launcher_(launcher), runner_(runner) {}

  rt::Task<Result<std::unique_ptr<api::Engine>>> acquire(rt::Op& op, api::Wanted wanted) override;
  std::vector<api::Scrape> running() override;

 private:
  local::Launcher& launcher_;
  runner::Runner& runner_;
};

}  // namespace berth::daemon
