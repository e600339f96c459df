// A cgroup v2 for one child, where this process was given the right to make one.
//
// Blocking, but only writes of a few bytes to the kernel's own files. Delegation is not common: not
// having it is no error. Source: kernel Documentation/admin-guide/cgroup-v2.rst, systemd's
// CGROUP_DELEGATION.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::process {

struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::uint64_t> processes;
};

class Cgroup {
 public:
  // Where to look; a test gives folders of its own.
  struct Places {
    std::string mount = "/sys/fs/cgroup";
    std::string self = "/proc/self/cgroup";
  };
  // nullopt when nothing is delegated here. `name` is a plain word.
  static Result<std::optional<Cgroup>> create(const std::string& name, CgroupLimits limits);
  static Result<std::optional<Cgroup>> create(const std::string& name, CgroupLimits limits,
                                              const Places& places);
  Cgroup(Cgroup&& other) noexcept;
  Cgroup& operator=(Cgroup&&) = delete;
  ~Cgroup();  // removes the group, which is empty by then

  const std::string& path() const { return path_; }
  // For Command::cgroup_procs.
  const std::shared_ptr<const UniqueFd>& procs() const { return procs_; }
  // The kernel's out-of-memory killer acted in this group.
  bool out_of_memory() const;

 private:
  Cgroup(std::string path, std::shared_ptr<const UniqueFd> procs)
      : path_(std::move(path)), procs_(std::move(procs)) {}
  std::string path_;
  std::shared_ptr<const UniqueFd> procs_;
};

// Why create() would answer nullopt, or "" when it would not: for `berth status`.
std::string why_no_cgroup(const Cgroup::Places& places);
std::string why_no_cgroup();

}  // namespace berth::process
