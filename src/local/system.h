// control::System and control::Machine of this process.
#pragma once

#include "control/control.h"
#include "engine/engine.h"
#include "local/shared.h"
#include "local/transfers.h"
#include "runner/runner.h"

namespace berth::local {

enum class Role { kCommand, kDaemon };

class System : public control::System {
 public:
  System(Shared& shared, engine::Engine& engine, runner::Runner& runner, Role role)
      : shared_(shared), engine_(engine), runner_(runner), role_(role) {}

  // Where the daemon came to listen: socket paths and URLs.
  void set_endpoints(std::vector<std::string> endpoints) { endpoints_ = std::move(endpoints); }

  rt::Task<Result<control::StatusReport>> status(rt::Op& op) override;
  rt::Task<Result<std::string>> server_version(rt::Op& op) override;
  rt::Task<Result<control::DiskUsage>> df(rt::Op& op) override;
  rt::Task<Result<std::unique_ptr<rt::Reader>>> logs(rt::Op& op, bool follow,
                                                     bool engines) override;
  rt::Task<Result<std::unique_ptr<rt::Reader>>> requests(rt::Op& op, std::string model, bool follow,
                                                         bool include_existing) override;

 private:
  Shared& shared_;
  engine::Engine& engine_;
  runner::Runner& runner_;
  Role role_;
  std::vector<std::string> endpoints_;
};

class Machine : public control::Machine {
 public:
  Machine(Shared& shared, Transfers& transfers) : shared_(shared), transfers_(transfers) {}

  rt::Task<Result<std::string>> install_runner(rt::Op& op, control::InstallRequest request,
                                               control::Events& events) override;
  rt::Task<Result<bool>> uninstall_runner(rt::Op& op, std::string backend) override;
  rt::Task<Result<std::vector<std::string>>> import_path(rt::Op& op, control::ImportPath request,
                                                         control::Events& events) override;
  rt::Task<Result<control::CheckResult>> check_store(rt::Op& op, control::CheckRequest request,
                                                     control::Events& events) override;
  rt::Task<Result<control::LoginResult>> login(rt::Op& op, control::LoginRequest request) override;
  rt::Task<Result<bool>> logout(rt::Op& op, std::string registry) override;
  std::vector<control::Setting> settings() override;

 private:
  Shared& shared_;
  Transfers& transfers_;
};

}  // namespace berth::local
