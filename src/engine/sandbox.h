// The sandbox of an engine: what it sees and what it is denied, as a bubblewrap command line.
//
// Pure but for probe_namespaces. Engines see a root file system read-only, the model's files under
// /models, a private /tmp, /dev and /proc, and one folder to write their socket into. Source:
// facts/engine.md (b), facts/security.md B.9 point 7, bwrap(1).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "process/command.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::engine {

enum class Isolation { kSandbox, kNone };  // kNone only when the user said --no-sandbox

// What is in force, for `berth status`, `ps` and `run --verbose`: {"namespaces", "on"}, …
using SandboxReport = std::vector<std::pair<std::string, std::string>>;

// A host path that the sandbox sees under another name.
struct Mount {
  enum class Access { kReadOnly, kReadWrite, kDevice } access = Access::kReadOnly;
  std::string host;
  std::string inside;
  enum class Missing { kFails, kIsSkipped } missing = Missing::kFails;
};

struct SandboxPlan {
  std::vector<Mount> mounts;
  std::vector<std::pair<std::string, std::string>> links;  // target, path inside
  std::vector<std::pair<std::string, std::string>> environment;
  std::string program;  // inside
  std::vector<std::string> arguments;
};

inline constexpr const char* kModelsInside = "/models";
inline constexpr const char* kRuntimeInside = "/run/berth";

// The bwrap command for a plan, with the seccomp program on a passed descriptor. `bwrap` is its
// absolute path.
Result<process::Command> sandboxed(const std::string& bwrap, SandboxPlan plan);

// Whether this machine lets us make namespaces: runs `bwrap … true` once. kDenied says what is
// forbidden and names --no-sandbox; kNotFound when bubblewrap is not installed.
rt::Task<Status> probe_namespaces(rt::Op& op, rt::Loop& loop, std::string bwrap);

// The same for an engine's bwrap that said why it could not; kUnavailable when what it was to show
// is no longer there.
Error sandbox_refused(std::string_view reason);

// The longest path that a unix socket may have (sun_path less its NUL).
inline constexpr std::size_t kMaxSocketPath = 107;

}  // namespace berth::engine
