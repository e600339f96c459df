// The product's verbs as abstract interfaces: what the command line and the HTTP API are written
// against.
//
// `local` performs them in this process; `client` sends them to a daemon. Loop thread; every call
// may fail with kCancelled and kTimeout by its Op, and with kUnsupported and a sentence when that
// side cannot do it.
#pragma once

#include <memory>

#include "base/secret.h"
#include "control/records.h"
#include "control/registry_view.h"
#include "rt/op.h"
#include "rt/reader.h"
#include "rt/task.h"

namespace berth::control {

// What is here.
struct Models {
  virtual ~Models() = default;
  virtual rt::Task<Result<std::vector<Model>>> list(rt::Op& op) = 0;
  // kNotFound with a hint to pull. `remote` looks at the registry and stores nothing.
  virtual rt::Task<Result<ModelDetail>> inspect(rt::Op& op, std::string model, bool remote) = 0;
  virtual rt::Task<Result<std::string>> tag(rt::Op& op, std::string source,
                                            std::string target) = 0;  // full target
  // kConflict without force: by id with several tags ("must be forced"), or while it runs.
  virtual rt::Task<Result<RemoveResult>> remove(rt::Op& op, std::string model, bool force) = 0;
  virtual rt::Task<Result<RemoveResult>> purge(rt::Op& op) = 0;
  virtual rt::Task<Result<PruneResult>> prune(rt::Op& op, bool dry_run) = 0;
};

// What moves.
struct Transfers {
  virtual ~Transfers() = default;
  virtual rt::Task<Result<PullResult>> pull(rt::Op& op, PullRequest request, Events& events) = 0;
  virtual rt::Task<Result<PushResult>> push(rt::Op& op, PushRequest request, Events& events) = 0;
  virtual rt::Task<Result<PackageResult>> package(rt::Op& op, PackageRequest request,
                                                  Events& events) = 0;
  // The target's registry checks each digest; this machine keeps nothing.
  virtual rt::Task<Result<TransferResult>> transfer(rt::Op& op, TransferRequest request,
                                                    Events& events) = 0;
  // The same layers under a new name with another context size; returns the full target.
  virtual rt::Task<Result<std::string>> repackage(rt::Op& op, std::string source,
                                                  std::string target,
                                                  std::uint64_t context_size) = 0;
  // A tar of an OCI image layout (which also holds DMR's manifest.json).
  virtual rt::Task<Result<std::unique_ptr<rt::Reader>>> export_tar(rt::Op& op,
                                                                   std::string model) = 0;
  // An OCI layout tar or DMR's tar; returns full references (or ids of untagged models) that came
  // in.
  virtual rt::Task<Result<std::vector<std::string>>> import_tar(rt::Op& op, rt::Reader& tar,
                                                                Events& events) = 0;
};

// What runs. Without a daemon `ps` is empty and the others fail with kUnavailable and a sentence.
struct Runs {
  virtual ~Runs() = default;
  virtual rt::Task<Result<std::vector<RunningModel>>> ps(rt::Op& op) = 0;
  virtual rt::Task<Result<std::uint64_t>> unload(rt::Op& op, UnloadRequest request) = 0;
  virtual rt::Task<Status> configure(rt::Op& op, Configuration configuration) = 0;
  virtual rt::Task<Result<std::vector<ConfigurationEntry>>> configurations(rt::Op& op,
                                                                           std::string model) = 0;
  // One answer, streamed into `sink`. Loads the model when needed; does not pull.
  virtual rt::Task<Result<ChatStats>> chat(rt::Op& op, ChatRequest request, ChatSink& sink) = 0;
};

// The machine room.
struct System {
  virtual ~System() = default;
  virtual rt::Task<Result<StatusReport>> status(rt::Op& op) = 0;
  virtual rt::Task<Result<std::string>> server_version(
      rt::Op& op) = 0;  // kUnavailable without a daemon
  virtual rt::Task<Result<DiskUsage>> df(rt::Op& op) = 0;
  virtual rt::Task<Result<std::unique_ptr<rt::Reader>>> logs(rt::Op& op, bool follow,
                                                             bool engines) = 0;
  // Recorded prompts and answers, as DMR's JSON; with follow as server-sent events.
  virtual rt::Task<Result<std::unique_ptr<rt::Reader>>> requests(rt::Op& op, std::string model,
                                                                 bool follow,
                                                                 bool include_existing) = 0;
};

// What only this machine can do: engines, credentials, files, the daemon itself.
struct InstallRequest {
  std::string backend = "llama.cpp";
  std::string from;     // "" = the Debian packages; else an OCI image reference
  std::string version;  // "" = current
};
struct ImportPath {
  std::string path;  // a tar, or the directory of an existing DMR store
};
struct LoginRequest {
  std::string registry;
  std::string user;
  Secret password;
};
// Where a login went to.
struct LoginResult {
  bool plain = false;  // unencrypted, in a file
  std::string where;   // the file, or the keychain's helper
};
struct Machine {
  virtual ~Machine() = default;
  virtual rt::Task<Result<std::string>> install_runner(rt::Op& op, InstallRequest request,
                                                       Events& events) = 0;  // version
  virtual rt::Task<Result<bool>> uninstall_runner(rt::Op& op, std::string backend) = 0;
  virtual rt::Task<Result<std::vector<std::string>>> import_path(rt::Op& op, ImportPath request,
                                                                 Events& events) = 0;
  // The store against itself; with repair what is wrong is mended or fetched again. What is found
  // is no failure.
  virtual rt::Task<Result<CheckResult>> check_store(rt::Op& op, CheckRequest request,
                                                    Events& events) = 0;
  virtual rt::Task<Result<LoginResult>> login(
      rt::Op& op, LoginRequest request) = 0;  // checked against the registry, then kept
  virtual rt::Task<Result<bool>> logout(rt::Op& op,
                                        std::string registry) = 0;  // false: was not logged in
  virtual std::vector<Setting> settings() = 0;
};

struct Tokens {
  virtual ~Tokens() = default;
  struct Created {
    TokenInfo info;
    Secret token;  // shown once
  };
  virtual Result<Created> create(std::string name, std::vector<std::string> scopes,
                                 std::optional<std::chrono::seconds> lifetime) = 0;
  virtual Result<std::vector<TokenInfo>> list() = 0;
  virtual Result<bool> revoke(std::string id) = 0;
};

// Everything a command may use. References outlive the commands.
struct Services {
  Models& models;
  Transfers& transfers;
  Runs& runs;
  System& system;
  Machine& machine;
  Tokens& tokens;
  RegistryView& registries;
};

}  // namespace berth::control
