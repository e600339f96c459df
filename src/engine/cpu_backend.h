// Which of ggml's CPU backends suits this machine. Pure; private to engine.
//
// Needed only without a sandbox, where the engine cannot find its backends by itself
// (facts/engine.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::engine {

// The best of `available` (file names such as "libggml-cpu-haswell.so") for a machine whose
// /proc/cpuinfo is `cpuinfo`; "" when there is none.
std::string best_cpu_backend(std::string_view cpuinfo, const std::vector<std::string>& available);

}  // namespace berth::engine
