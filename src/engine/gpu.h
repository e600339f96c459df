// Graphics devices of this machine: which there are, what an engine needs to see of them, and how
// many layers fit.
//
// Reads files only, below a root that a test can fake (blocking, short); no driver library is
// loaded into this process. Source: Vulkan loader's ICD search, NVIDIA's and ROCm's device nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/sandbox.h"

namespace berth::engine {

enum class GpuChoice { kAuto, kNone, kVulkan, kCuda, kRocm };
std::string_view to_string(GpuChoice choice);
std::optional<GpuChoice> gpu_choice_from_string(std::string_view name);

struct Gpu {
  GpuChoice kind = GpuChoice::kNone;          // the interface to use it by
  std::string name;                           // "amdgpu renderD128"
  std::optional<std::uint64_t> memory_total;  // bytes of its own memory, when known
  std::optional<std::uint64_t> memory_free;
};

struct GpuFindings {
  std::vector<Gpu> devices;
  std::vector<Mount> mounts;  // device nodes and driver files for the sandbox
  std::vector<std::pair<std::string, std::string>> environment;  // where drivers are found there
  // One sentence when the choice could not be met and the CPU is used ("" otherwise).
  std::string fallback;
};

// What an engine was built with: names of ggml backends such as "vulkan", "cuda", "hip".
using Backends = std::vector<std::string>;

// `root` is "/" but in tests.
GpuFindings find_gpus(GpuChoice choice, const Backends& backends, const std::string& root = "/");

// Layers of a model of this shape that fit into `free` bytes: all, some or none.
struct ModelShape {
  std::uint64_t layers = 0;              // block_count; 0 = unknown
  std::uint64_t weight_bytes = 0;        // of all tensors
  std::uint64_t kv_bytes_per_token = 0;  // over all layers; 0 = unknown
  std::uint64_t trained_context = 0;     // 0 = unknown
};
// The engine counts the output layer as one more: layers + 1 means everything.
std::uint64_t layers_that_fit(const ModelShape& shape, std::uint64_t context, std::uint64_t free);

}  // namespace berth::engine
