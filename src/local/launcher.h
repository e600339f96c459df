// From a model's name to a running engine: resolves it, finds its files, its options and its need
// of memory, and asks the runner for it.
//
// Loop thread. What a name stands for is remembered for a second, so that a stream of requests for
// a loaded model costs no disk; a moved tag or a new configuration of another process is seen after
// that. Failures: kNotFound with a hint, kUnsupported (no engine for this format or mode), kCorrupt
// (a linked file changed), and those of Runner::acquire.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "control/records.h"
#include "engine/engine.h"
#include "local/shared.h"
#include "runner/runner.h"

namespace berth::local {

class Launcher {
 public:
  Launcher(Shared& shared, runner::Runner& runner) : shared_(shared), runner_(runner) {}

  struct Wanted {
    std::string model;  // as the caller wrote it
    engine::Mode mode = engine::Mode::kCompletion;
    std::optional<std::uint64_t> context_size;  // for this caller only
  };
  struct Granted {
    runner::Ticket ticket;
    std::string model_id;
    std::string display_name;
  };
  rt::Task<Result<Granted>> acquire(rt::Op& op, Wanted wanted);

  // What `configure` keeps: by model id and mode, in the store, so it outlives this process.
  rt::Task<Status> configure(rt::Op& op, control::Configuration configuration);
  rt::Task<Result<std::vector<control::ConfigurationEntry>>> configurations(rt::Op& op,
                                                                            std::string model);
  rt::Task<Status> forget_configurations(rt::Op& op,
                                         std::vector<std::string> models);  // empty = all

 private:
  // Holds no lease: a model that no engine holds any more can be removed at once.
  struct Remembered {
    runner::LoadSpec spec;
    std::weak_ptr<void> guard;
    rt::SteadyTime until;
  };

  // A model's files for the engine, held in the store.
  struct Opened {
    oci::Digest id;
    engine::ModelFiles files;
    std::optional<std::uint64_t> context_size;  // as packaged
    store::Lease lease;
  };

  rt::Task<Result<runner::LoadSpec>> prepare(rt::Op& op, Wanted wanted);
  rt::Task<Result<Opened>> open_model(rt::Op& op, store::Found found);
  // nullopt when none is configured; kNotFound naming it when it is not here.
  rt::Task<Result<std::optional<Opened>>> open_draft(rt::Op& op,
                                                     control::Configuration configuration);
  rt::Task<Result<std::optional<control::Configuration>>> stored(rt::Op& op, std::string id,
                                                                 engine::Mode mode);

  Shared& shared_;
  runner::Runner& runner_;
  std::map<std::string, Remembered> remembered_;
};

// The typed options of a configuration; kInvalid for an unknown runtime flag.
Result<engine::EngineOptions> options_of(const control::Configuration& configuration,
                                         engine::Mode mode);

}  // namespace berth::local
