// A seccomp program made with libseccomp: what a sandboxed child may never ask of the kernel.
//
// Immutable, any thread. A denied call fails with EPERM (clone3 with ENOSYS, so that the C library
// falls back to clone, whose flags can be judged). Failure: kUnsupported (kernel or architecture).
// Source: facts/security.md B.9 point 7; seccomp(2); Docker's default profile.
#pragma once

#include <linux/filter.h>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::process {

enum class Network { kAny, kUnixOnly };  // kUnixOnly: socket() gives AF_UNIX and nothing else

class SystemCallFilter {
 public:
  // Denies tracing, mounting, namespaces, kernel modules, keys, bpf, perf, io_uring and the like.
  static Result<SystemCallFilter> deny_list(Network network);

  const std::vector<sock_filter>& program() const { return program_; }
  // A new memory file that holds the program, read from its start: what `bwrap --seccomp FD` takes.
  Result<UniqueFd> to_memory_file() const;

  // Names of the calls that the list denies, for `berth status` and the manual.
  static std::vector<std::string_view> denied_calls();

 private:
  explicit SystemCallFilter(std::vector<sock_filter> program) : program_(std::move(program)) {}
  std::vector<sock_filter> program_;
};

}  // namespace berth::process
