// control::Transfers over the local store and the registries: pull, push, package, export, import.
#pragma once

#include "control/control.h"
#include "local/events.h"
#include "local/outgoing.h"
#include "local/shared.h"
#include "model/package.h"

namespace berth::local {

class Transfers : public control::Transfers {
 public:
  explicit Transfers(Shared& shared) : shared_(shared) {}

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

  // The models of a folder: an existing Docker Model Runner store or an OCI image layout.
  rt::Task<Result<std::vector<std::string>>> import_folder(rt::Op& op, std::string path,
                                                           control::Events& events);

  // For a server elsewhere: the package and the models of a folder as tars, nothing taken in here.
  // They read from the files, and from this store what --from names.
  rt::Task<Result<OutgoingPackage>> pack(rt::Op& op, control::PackageRequest request,
                                         control::Events& events);
  rt::Task<Result<std::vector<Outgoing>>> open_folder(rt::Op& op, std::string path,
                                                      control::Events& events);

 private:
  rt::Task<Result<model::Plan>> plan(rt::Op& op, control::PackageRequest request,
                                     control::Events& events);
  // Records a model that came in: its summary, its tag, the index.json view.
  rt::Task<Status> settle(rt::Op& op, const model::Loaded& loaded,
                          std::vector<oci::Reference> tags);
  rt::Task<Result<std::vector<std::string>>> name_imported(rt::Op& op, oci::Descriptor manifest,
                                                           std::vector<std::string> names);

  Shared& shared_;
};

}  // namespace berth::local
