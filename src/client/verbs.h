// The interfaces of control over one Server. Private to client.
#pragma once

#include "client/server.h"
#include "control/control.h"

namespace berth::client {

class Models : public control::Models {
 public:
  explicit Models(Server& server) : server_(server) {}
  rt::Task<Result<std::vector<control::Model>>> list(rt::Op& op) override;
  rt::Task<Result<control::ModelDetail>> inspect(rt::Op& op, std::string model,
                                                 bool remote) override;
  rt::Task<Result<std::string>> tag(rt::Op& op, std::string source, std::string target) override;
  rt::Task<Result<control::RemoveResult>> remove(rt::Op& op, std::string model,
                                                 bool force) override;
  rt::Task<Result<control::RemoveResult>> purge(rt::Op& op) override;
  rt::Task<Result<control::PruneResult>> prune(rt::Op& op, bool dry_run) override;

 private:
  Server& server_;
};

class Transfers : public control::Transfers {
 public:
  Transfers(Server& server, control::Models& models) : server_(server), models_(models) {}
  rt::Task<Result<control::PullResult>> pull(rt::Op& op, control::PullRequest request,
                                             control::Events& events) override;
  rt::Task<Result<control::PushResult>> push(rt::Op& op, control::PushRequest request,
                                             control::Events& events) override;
  rt::Task<Result<control::PackageResult>> package(rt::Op& op, control::PackageRequest request,
                                                   control::Events& events) override;
  rt::Task<Result<control::TransferResult>> transfer(rt::Op& op, control::TransferRequest request,
                                                     control::Events& events) override;
  rt::Task<Result<std::string>> repackage(rt::Op& op, std::string source, std::string target,
                                          std::uint64_t context_size) override;
  rt::Task<Result<std::unique_ptr<rt::Reader>>> export_tar(rt::Op& op, std::string model) override;
  rt::Task<Result<std::vector<std::string>>> import_tar(rt::Op& op, rt::Reader& tar,
                                                        control::Events& events) override;

 private:
  Server& server_;
  control::Models& models_;
};

class Runs : public control::Runs {
 public:
  explicit Runs(Server& server) : server_(server) {}
  rt::Task<Result<std::vector<control::RunningModel>>> ps(rt::Op& op) override;
  rt::Task<Result<std::uint64_t>> unload(rt::Op& op, control::UnloadRequest request) override;
  rt::Task<Status> configure(rt::Op& op, control::Configuration configuration) override;
  rt::Task<Result<std::vector<control::ConfigurationEntry>>> configurations(
      rt::Op& op, std::string model) override;
  rt::Task<Result<control::ChatStats>> chat(rt::Op& op, control::ChatRequest request,
                                            control::ChatSink& sink) override;

 private:
  rt::Task<Result<http::Response>> ask(rt::Op& op, const control::ChatRequest& request);
  Server& server_;
};

class System : public control::System {
 public:
  explicit System(Server& server) : server_(server) {}
  rt::Task<Result<control::StatusReport>> status(rt::Op& op) override;
  rt::Task<Result<std::string>> server_version(rt::Op& op) override;
  rt::Task<Result<control::DiskUsage>> df(rt::Op& op) override;
  rt::Task<Result<std::unique_ptr<rt::Reader>>> logs(rt::Op& op, bool follow,
                                                     bool engines) override;
  rt::Task<Result<std::unique_ptr<rt::Reader>>> requests(rt::Op& op, std::string model, bool follow,
                                                         bool include_existing) override;

 private:
  Server& server_;
};

// What another machine's server does for us, and what it cannot.
class Machine : public control::Machine {
 public:
  explicit Machine(Server& server) : server_(server) {}
  rt::Task<Result<std::string>> install_runner(rt::Op& op, control::InstallRequest request,
                                               control::Events& events) override;
  rt::Task<Result<bool>> uninstall_runner(rt::Op& op, std::string backend) override;
  rt::Task<Result<std::vector<std::string>>> import_path(rt::Op& op, control::ImportPath request,
                                                         control::Events& events) override;
  rt::Task<Result<control::CheckResult>> check_store(rt::Op& op, control::CheckRequest request,
                                                     control::Events& events) override;
  rt::Task<Result<control::LoginResult>> login(rt::Op& op, control::LoginRequest request) override;
  rt::Task<Result<bool>> logout(rt::Op& op, std::string registry) override;
  std::vector<control::Setting> settings() override { return {}; }

 private:
  Server& server_;
};

class Tokens : public control::Tokens {
 public:
  Result<Created> create(std::string name, std::vector<std::string> scopes,
                         std::optional<std::chrono::seconds> lifetime) override;
  Result<std::vector<control::TokenInfo>> list() override;
  Result<bool> revoke(std::string id) override;
};

// Registries are asked from where the user is.
class RegistryView : public control::RegistryView {
 public:
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
};

}  // namespace berth::client
