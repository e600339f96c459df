// control::Runs with engines of this process: the daemon's, or those that `berth run` owns for its
// own life.
#pragma once

#include "control/control.h"
#include "local/launcher.h"
#include "local/shared.h"
#include "runner/runner.h"

namespace berth::local {

class Runs : public control::Runs {
 public:
  Runs(Shared& shared, runner::Runner& runner, Launcher& launcher)
      : shared_(shared), runner_(runner), launcher_(launcher) {}

  rt::Task<Result<std::vector<control::RunningModel>>> ps(rt::Op& op) override;
  rt::Task<Result<std::uint64_t>> unload(rt::Op& op, control::UnloadRequest request) override;
  rt::Task<Status> configure(rt::Op& op, control::Configuration configuration) override;
  rt::Task<Result<std::vector<control::ConfigurationEntry>>> configurations(
      rt::Op& op, std::string model) override;
  rt::Task<Result<control::ChatStats>> chat(rt::Op& op, control::ChatRequest request,
                                            control::ChatSink& sink) override;

 private:
  rt::Task<std::string> name_of(rt::Op& op, runner::Running running);
  rt::Task<Result<std::vector<std::string>>> ids_of(rt::Op& op, std::string model);

  Shared& shared_;
  runner::Runner& runner_;
  Launcher& launcher_;
};

runner::Settings runner_settings(const config::Settings& settings);

}  // namespace berth::local
