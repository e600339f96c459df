#include "apps/berth/host_backend.h"

#include "local/workshop.h"

namespace berth {
namespace {

struct Silent : control::Events {
  void on(const control::Event&) override {}
};

// Opened when a command needs it; most do not.
class Here {
 public:
  Here(rt::Loop& loop, config::Configuration configuration)
      : loop_(loop), configuration_(std::move(configuration)) {}

  Result<local::Transfers*> transfers() {
    if (!workshop_) {
      TRY(workshop_, local::Workshop::open(loop_, configuration_));
    }
    return &workshop_->transfers();
  }
  rt::Task<Status> close(rt::Op& op) {
    if (!workshop_) co_return Status();
    const Status closed = co_await workshop_->close(op);
    workshop_.reset();
    co_return closed;
  }

 private:
  rt::Loop& loop_;
  config::Configuration configuration_;
  std::unique_ptr<local::Workshop> workshop_;
};

class HostTransfers : public control::Transfers {
 public:
  HostTransfers(Here& here, control::Services there) : here_(here), there_(there) {}

  rt::Task<Result<control::PullResult>> pull(rt::Op& op, control::PullRequest request,
                                             control::Events& events) override {
    return there_.transfers.pull(op, std::move(request), events);
  }
  rt::Task<Result<control::PushResult>> push(rt::Op& op, control::PushRequest request,
                                             control::Events& events) override {
    return there_.transfers.push(op, std::move(request), events);
  }
  rt::Task<Result<control::TransferResult>> transfer(rt::Op& op, control::TransferRequest request,
                                                     control::Events& events) override {
    return there_.transfers.transfer(op, std::move(request), events);
  }
  rt::Task<Result<std::string>> repackage(rt::Op& op, std::string source, std::string target,
                                          std::uint64_t context_size) override {
    return there_.transfers.repackage(op, std::move(source), std::move(target), context_size);
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> export_tar(rt::Op& op, std::string model) override {
    return there_.transfers.export_tar(op, std::move(model));
  }
  rt::Task<Result<std::vector<std::string>>> import_tar(rt::Op& op, rt::Reader& tar,
                                                        control::Events& events) override {
    return there_.transfers.import_tar(op, tar, events);
  }
  rt::Task<Result<control::PackageResult>> package(rt::Op& op, control::PackageRequest request,
                                                   control::Events& events) override;
  rt::Task<Result<std::vector<std::string>>> import_folder(rt::Op& op, std::string path,
                                                           control::Events& events);

 private:
  // The name here of what --from names there. What the server does not have may be in a registry:
  // the name stays, and packaging pulls it.
  rt::Task<Result<std::string>> fetch(rt::Op& op, local::Transfers& here, std::string model) {
    auto tar = co_await there_.transfers.export_tar(op, model);
    if (!tar && tar.error().code() == Code::kNotFound) co_return model;
    if (!tar) co_return std::unexpected(std::move(tar.error()));
    Silent silent;
    CO_TRY(const auto names, co_await here.import_tar(op, **tar, silent));
    co_return names.empty() ? model : names.front();
  }
  rt::Task<Result<std::vector<std::string>>> send(rt::Op& op, local::Outgoing& model,
                                                  std::vector<std::string> names,
                                                  control::Events& events) {
    CO_TRY_OK(co_await there_.transfers.import_tar(op, *model.tar, events));
    std::vector<std::string> tagged;
    for (std::string& name : names) {
      CO_TRY(std::string full, co_await there_.models.tag(op, model.id, std::move(name)));
      tagged.push_back(std::move(full));
    }
    if (tagged.empty()) tagged.push_back(model.id);
    co_return tagged;
  }

  Here& here_;
  control::Services there_;
};

rt::Task<Result<control::PackageResult>> HostTransfers::package(rt::Op& op,
                                                                control::PackageRequest request,
                                                                control::Events& events) {
  CO_TRY(local::Transfers* const here, here_.transfers());
  if (!request.from.empty()) {
    CO_TRY(request.from, co_await fetch(op, *here, request.from));
  }
  if (request.push) co_return co_await here->package(op, std::move(request), events);
  CO_TRY(local::OutgoingPackage made, co_await here->pack(op, std::move(request), events));
  CO_TRY_OK(co_await send(op, made.model, {made.result.reference}, events));
  co_return std::move(made.result);
}

rt::Task<Result<std::vector<std::string>>> HostTransfers::import_folder(rt::Op& op,
                                                                        std::string path,
                                                                        control::Events& events) {
  CO_TRY(local::Transfers* const here, here_.transfers());
  CO_TRY(auto models, co_await here->open_folder(op, std::move(path), events));
  std::vector<std::string> all;
  for (local::Outgoing& model : models) {
    CO_TRY(const auto names, co_await send(op, model, model.names, events));
    all.insert(all.end(), names.begin(), names.end());
  }
  co_return all;
}

// A machine's own affairs stay refused; a folder's models can be sent.
class HostMachine : public control::Machine {
 public:
  HostMachine(HostTransfers& transfers, control::Machine& there)
      : transfers_(transfers), there_(there) {}

  rt::Task<Result<std::vector<std::string>>> import_path(rt::Op& op, control::ImportPath request,
                                                         control::Events& events) override {
    return transfers_.import_folder(op, std::move(request.path), events);
  }
  rt::Task<Result<std::string>> install_runner(rt::Op& op, control::InstallRequest request,
                                               control::Events& events) override {
    return there_.install_runner(op, std::move(request), events);
  }
  rt::Task<Result<bool>> uninstall_runner(rt::Op& op, std::string backend) override {
    return there_.uninstall_runner(op, std::move(backend));
  }
  rt::Task<Result<control::CheckResult>> check_store(rt::Op& op, control::CheckRequest request,
                                                     control::Events& events) override {
    return there_.check_store(op, std::move(request), events);
  }
  rt::Task<Result<control::LoginResult>> login(rt::Op& op, control::LoginRequest request) override {
    return there_.login(op, std::move(request));
  }
  rt::Task<Result<bool>> logout(rt::Op& op, std::string registry) override {
    return there_.logout(op, std::move(registry));
  }
  std::vector<control::Setting> settings() override { return there_.settings(); }

 private:
  HostTransfers& transfers_;
  control::Machine& there_;
};

}  // namespace

struct HostBackend::Parts {
  Parts(rt::Loop& loop, config::Configuration configuration, std::unique_ptr<client::Client> server)
      : client(std::move(server)),
        here(loop, std::move(configuration)),
        transfers(here, client->services()),
        machine(transfers, client->services().machine),
        services(compose()) {}

  control::Services compose() {
    const control::Services there = client->services();
    return {.models = there.models,
            .transfers = transfers,
            .runs = there.runs,
            .system = there.system,
            .machine = machine,
            .tokens = there.tokens,
            .registries = there.registries};
  }

  std::unique_ptr<client::Client> client;
  Here here;
  HostTransfers transfers;
  HostMachine machine;
  control::Services services;
};

HostBackend::HostBackend(rt::Loop& loop, config::Configuration configuration,
                         std::unique_ptr<client::Client> client)
    : parts_(std::make_unique<Parts>(loop, std::move(configuration), std::move(client))) {}
HostBackend::~HostBackend() = default;

control::Services& HostBackend::services() { return parts_->services; }

rt::Task<Status> HostBackend::close(rt::Op& op) { return parts_->here.close(op); }

}  // namespace berth
