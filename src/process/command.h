// What to start: program, arguments, and everything that the child is given or denied.
//
// A plain value. There is no shell and nothing is inherited: the environment is exactly the given
// list, descriptors are exactly the given ones, standard input is empty unless `input` is set.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "process/system_call_filter.h"

namespace berth::process {

// Resource limits (setrlimit, soft and hard). Core files are always 0.
struct ResourceLimits {
  std::optional<std::uint64_t> open_files;
  std::optional<std::uint64_t> address_space;
  std::optional<std::uint64_t> file_bytes;
  std::optional<std::uint64_t> cpu_seconds;
};

// A descriptor of this process that the child sees under `number` (3 or more). Shared, so that a
// Command can be copied.
struct PassedFd {
  int number = -1;
  std::shared_ptr<const UniqueFd> file;
};

struct Command {
  std::string program;                 // absolute path: see find_program
  std::vector<std::string> arguments;  // without argv[0], which is `program`
  std::vector<std::pair<std::string, std::string>> environment;
  std::string directory = "/";
  std::optional<std::string> input;  // written to standard input, which is then closed
  std::vector<PassedFd> fds;
  ResourceLimits limits;
  std::shared_ptr<const SystemCallFilter> filter;  // implies no_new_privileges
  bool no_new_privileges = true;
  std::shared_ptr<const UniqueFd> cgroup_procs;  // an open cgroup.procs to enter before exec
};

// The absolute path of an executable regular file: `name` itself when it holds a "/" (made
// absolute), else the first of the folders in `path` (a colon-separated list; relative folders are
// skipped). nullopt when there is none.
std::optional<std::string> find_program(std::string_view name, std::string_view path);

// The command as one line for a log: words quoted where needed, no environment.
std::string describe(const Command& command);

}  // namespace berth::process
