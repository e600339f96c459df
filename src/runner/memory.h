// How much memory this machine (or this container) has for engines. Pure functions of file
// contents, plus one that reads the real files (blocking, short).
//
// Source: proc(5) /proc/meminfo MemAvailable; cgroup v2 memory.max and memory.current, v1
// memory.limit_in_bytes and memory.usage_in_bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::runner {

struct MemoryState {
  std::uint64_t total = 0;
  std::uint64_t available = 0;
};

// nullopt when a needed line is missing or malformed.
std::optional<MemoryState> parse_meminfo(std::string_view text);

// The least that any cgroup above this process leaves: `limit` and `usage` as in its files ("max"
// or a huge number = no limit). `reclaimable` is the page cache charged to it.
struct CgroupMemory {
  std::optional<std::uint64_t> limit;
  std::uint64_t usage = 0;
  std::uint64_t reclaimable = 0;
};
MemoryState bounded_by(MemoryState machine, const CgroupMemory& group);

struct MemoryFiles {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
};
// nullopt where /proc is not there.
std::optional<MemoryState> read_memory(const MemoryFiles& files = {});

// What engines may use together: what is available, plus what the running ones hold already, less a
// reserve for everything else (a tenth of the machine, 256 MiB to 4 GiB, or as configured).
std::uint64_t capacity(const MemoryState& state, std::uint64_t held_by_engines,
                       std::optional<std::uint64_t> reserve);

}  // namespace berth::runner
