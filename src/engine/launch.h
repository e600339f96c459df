// From a request to a command: arguments, sandbox, runtime folder. Blocking; private to engine.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"

namespace berth::engine {

struct LaunchPlaces {
  std::string runtime_dir;
  std::string bwrap;    // absolute; "" without a sandbox
  std::string devices;  // root of the device tree
};

Result<Launch> make_launch(const Installation& installation, const LaunchPlaces& places,
                           const LaunchRequest& request);

// Where the engine sees things.
struct SeenPaths {
  std::string models;  // folder
  std::string socket;
};
// llama-server's arguments, without its name.
std::vector<std::string> llama_arguments(const Installation& installation,
                                         const LaunchRequest& request, const Placement& placement,
                                         const SeenPaths& seen, std::uint64_t context);
std::uint64_t context_of(const LaunchRequest& request);

// What is in force with this isolation; `no_cgroup` says why there is none ("" = there is one).
SandboxReport sandbox_report(Isolation isolation, const std::string& no_cgroup);

}  // namespace berth::engine
