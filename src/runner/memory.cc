#include "runner/memory.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/text.h"

namespace berth::runner {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
// cgroup v1 writes "no limit" as the largest multiple of a page.
constexpr std::uint64_t kNoLimit = 1ULL << 60;

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::uint64_t> kilobytes(std::string_view text, std::string_view name) {
  for (const std::string& line : split(text, '\n')) {
    if (!line.starts_with(name)) continue;
    std::string_view value = std::string_view(line).substr(name.size());
    value = trim(value.substr(0, value.find("kB")));
    const auto number = parse_u64(value);
    if (number && *number < kNoLimit / 1024) return *number * 1024;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  return parse_u64(trim(slurp(path)));
}

std::uint64_t field(std::string_view text, std::string_view name) {
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with(name)) return parse_u64(trim(line.substr(name.size()))).value_or(0);
  }
  return 0;
}

// "0::/a/b" is version 2; "4:memory:/a/b" is version 1's memory hierarchy.
struct OwnGroups {
  std::optional<std::string> unified;
  std::optional<std::string> memory;
};
OwnGroups own_groups(std::string_view text) {
  OwnGroups own;
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> parts = split(line, ':');
    if (parts.size() != 3 || parts[2].find("..") != std::string::npos) continue;
    if (parts[0] == "0" && parts[1].empty()) own.unified = parts[2];
    if (parts[1] == "memory") own.memory = parts[2];
  }
  return own;
}

CgroupMemory read_unified(const std::string& folder) {
  return {.limit = number_in(folder + "/memory.max"),
          .usage = number_in(folder + "/memory.current").value_or(0),
          .reclaimable = field(slurp(folder + "/memory.stat"), "inactive_file ")};
}
CgroupMemory read_legacy(const std::string& folder) {
  return {.limit = number_in(folder + "/memory.limit_in_bytes"),
          .usage = number_in(folder + "/memory.usage_in_bytes").value_or(0),
          .reclaimable = field(slurp(folder + "/memory.stat"), "total_inactive_file ")};
}

// Every group from our own up to the root may hold a limit. In a container the path may not be
// visible: then the mount's own root is our group.
MemoryState bound_along(MemoryState state, const std::string& mount, std::string path,
                        CgroupMemory (*read)(const std::string&)) {
  while (true) {
    state = bounded_by(state, read(mount + path));
    if (path.empty() || path == "/") return state;
    path.erase(path.rfind('/'));
  }
}

}  // namespace

std::optional<MemoryState> parse_meminfo(std::string_view text) {
  const auto total = kilobytes(text, "MemTotal:");
  const auto available = kilobytes(text, "MemAvailable:");
  if (!total || !available) return std::nullopt;
  return MemoryState{*total, std::min(*available, *total)};
}

MemoryState bounded_by(MemoryState machine, const CgroupMemory& group) {
  if (!group.limit || *group.limit >= kNoLimit) return machine;
  const std::uint64_t used = group.usage - std::min(group.usage, group.reclaimable);
  const std::uint64_t left = *group.limit - std::min(*group.limit, used);
  return {std::min(machine.total, *group.limit), std::min(machine.available, left)};
}

std::optional<MemoryState> read_memory(const MemoryFiles& files) {
  auto state = parse_meminfo(slurp(files.proc + "/meminfo"));
  if (!state) return std::nullopt;
  const OwnGroups own = own_groups(slurp(files.proc + "/self/cgroup"));
  if (own.memory) {
    return bound_along(*state, files.cgroup + "/memory", *own.memory, read_legacy);
  }
  if (own.unified) return bound_along(*state, files.cgroup, *own.unified, read_unified);
  return state;
}

std::uint64_t capacity(const MemoryState& state, std::uint64_t held_by_engines,
                       std::optional<std::uint64_t> reserve) {
  const std::uint64_t spared =
      reserve.value_or(std::clamp(state.total / 10, 256 * kMiB, 4096 * kMiB));
  const std::uint64_t together = state.available + held_by_engines;
  return together - std::min(together, spared);
}

}  // namespace berth::runner
