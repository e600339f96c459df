// One inference engine behind one interface: find it, plan a launch, see when it is ready.
//
// Loop thread. An adapter (llama.h) holds no processes: runner starts what plan() describes and
// owns it. Failures of probe: kNotFound (no engine; the sentence says `berth install-runner`); of
// plan: kDenied (namespaces are forbidden and the sandbox was not turned off), kInvalid (a file
// name or option), kUnsupported; of ready: kUnavailable (died, with its last lines), kExhausted
// (out of memory), kCorrupt (the engine cannot read the model), kTimeout, kCancelled.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/gpu.h"
#include "engine/options.h"
#include "engine/sandbox.h"
#include "http/message.h"
#include "process/cgroup.h"
#include "process/child.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::engine {

struct Traits {
  std::string name;                  // "llama.cpp": DMR's backend name
  std::vector<std::string> formats;  // "gguf"
  std::vector<Mode> modes;
};

struct Installation {
  enum class Origin { kConfigured, kInstalled, kOnPath } origin = Origin::kInstalled;
  std::string program;         // host path of the server binary
  std::string root;            // of an engine root; "" for a binary that uses the host's libraries
  std::string version;         // "llama.cpp 1:0.7.0+dfsg-2", or what --version says
  Backends backends;           // ggml backends beside the CPU's: "vulkan", …
  bool image = false;          // `root` is a container image's: run in the sandbox only
  std::string libraries = {};  // LD_LIBRARY_PATH inside that root
};
std::string_view to_string(Installation::Origin origin);

// A file of the model: where it lies (a blob of the store) and what the engine sees it as: a
// relative path, checked, below /models.
struct ModelFile {
  std::string host;
  std::string name;
};

struct ModelFiles {
  ModelFile model;                         // shard 1 of several
  std::vector<ModelFile> shards;           // the others; the engine finds them by their names
  std::optional<ModelFile> projector;      // mmproj
  std::vector<ModelFile> adapters;         // LoRA
  std::optional<ModelFile> chat_template;  // jinja
  std::optional<ModelFile> draft;          // speculative decoding; shard 1 of several
  std::vector<ModelFile> draft_shards;     // its others
};

struct LaunchRequest {
  ModelFiles files;
  ModelShape shape;
  EngineOptions options;
  GpuChoice gpu = GpuChoice::kAuto;
  Isolation isolation = Isolation::kSandbox;
  std::optional<std::uint64_t> memory_limit;  // of a cgroup, where one can be had
};

struct Placement {
  std::string device = "CPU";
  std::uint64_t gpu_layers = 0;
  std::uint64_t layers = 0;  // 0 = unknown
  std::string fallback;      // one sentence when a GPU was wanted or there and is not used
};

// Everything to start an engine with. Owns its runtime folder (removed when it goes).
struct Launch {
  process::Command command;
  Installation installation;
  std::string socket;  // host path
  std::uint64_t context_size = 0;
  Placement placement;
  SandboxReport sandbox;
  std::optional<process::Cgroup> cgroup;
  std::shared_ptr<void> runtime_folder;
};

struct Engine {
  virtual ~Engine() = default;
  virtual const Traits& traits() const = 0;
  virtual rt::Task<Result<Installation>> probe(rt::Op& op) = 0;
  virtual rt::Task<Result<Launch>> plan(rt::Op& op, LaunchRequest request) = 0;
  // Until the engine answers requests. `client` speaks to the launch's socket.
  virtual rt::Task<Status> ready(rt::Op& op, process::Child& child, http::Service& client) = 0;
  // Why an engine that had been started is gone, from its exit and its last lines.
  virtual Error explain_exit(const process::Child& child, const Launch& launch) const = 0;
  // What the sandbox would be on this machine, for `berth status`.
  virtual rt::Task<Result<SandboxReport>> sandbox_report(rt::Op& op, Isolation isolation) = 0;
};

}  // namespace berth::engine
