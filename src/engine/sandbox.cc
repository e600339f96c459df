#include "engine/sandbox.h"

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "process/child.h"

namespace berth::engine {
namespace {

constexpr int kFilterFd = 10;

// What an engine may open at once: model shards, devices, its clients' sockets.
constexpr std::uint64_t kOpenFiles = 4096;

void add(std::vector<std::string>& arguments, std::initializer_list<std::string> words) {
  arguments.insert(arguments.end(), words);
}

std::string flag_of(const Mount& mount) {
  std::string flag;
  switch (mount.access) {
    case Mount::Access::kReadOnly:
      flag = "--ro-bind";
      break;
    case Mount::Access::kReadWrite:
      flag = "--bind";
      break;
    case Mount::Access::kDevice:
      flag = "--dev-bind";
      break;
  }
  return mount.missing == Mount::Missing::kIsSkipped ? flag + "-try" : flag;
}

// As little as possible: every namespace of its own, no capability, no way back to the terminal.
// Without --new-session: every process::Child has a session of its own, and what bubblewrap starts
// would leave its process group a moment before it is bound to bubblewrap's life. Killed in that
// moment it would stay.
std::vector<std::string> isolation() {
  return {"--unshare-all", "--die-with-parent",
          "--cap-drop",    "ALL",
          "--hostname",    "berth",
          "--proc",        "/proc",
          "--dev",         "/dev",
          "--tmpfs",       "/tmp"};
}

Status pass_filter(process::Command& command) {
  TRY(const auto filter, process::SystemCallFilter::deny_list(process::Network::kUnixOnly));
  TRY(UniqueFd file, filter.to_memory_file());
  command.fds.push_back({kFilterFd, std::make_shared<const UniqueFd>(std::move(file))});
  add(command.arguments, {"--seccomp", std::to_string(kFilterFd)});
  return {};
}

Status check_inside(const std::string& path) {
  if (!path.starts_with('/') || path.find("/../") != std::string::npos || path.ends_with("/..")) {
    return fail(Code::kInvalid, "a sandbox cannot show a file as {}", printable(path));
  }
  return {};
}

}  // namespace

Result<process::Command> sandboxed(const std::string& bwrap, SandboxPlan plan) {
  process::Command command{.program = bwrap, .arguments = isolation()};
  for (const auto& [target, path] : plan.links) {
    TRY_OK(check_inside(path));
    add(command.arguments, {"--symlink", target, path});
  }
  for (const Mount& mount : plan.mounts) {
    TRY_OK(check_inside(mount.inside));
    add(command.arguments, {flag_of(mount), mount.host, mount.inside});
  }
  TRY_OK(pass_filter(command));
  add(command.arguments, {"--chdir", "/tmp", "--", plan.program});
  command.arguments.insert(command.arguments.end(), plan.arguments.begin(), plan.arguments.end());
  command.environment = std::move(plan.environment);
  command.limits.open_files = kOpenFiles;
  return command;
}

Error sandbox_refused(std::string_view reason) {
  if (reason.find("Can't find source path") != std::string_view::npos) {
    return {Code::kUnavailable,
            fmt::format("a file that the engine needs went away while it was started ({}): try "
                        "again",
                        printable(trim(reason)))};
  }
  return {Code::kDenied,
          fmt::format("this machine does not let bubblewrap make a sandbox ({}): allow "
                      "unprivileged user namespaces, or run the engine unprotected with "
                      "--no-sandbox",
                      printable(trim(reason)))};
}

rt::Task<Status> probe_namespaces(rt::Op& op, rt::Loop& loop, std::string bwrap) {
  SandboxPlan plan{.mounts = {{.host = "/", .inside = "/"}}, .program = "/bin/true"};
  // The root comes first here: what is private is laid over it.
  CO_TRY(process::Command command, sandboxed(bwrap, std::move(plan)));
  std::vector<std::string>& words = command.arguments;
  const auto root = std::find(words.begin(), words.end(), "--ro-bind");
  std::rotate(words.begin(), root, root + 3);
  CO_TRY(const process::Finished finished,
         co_await process::run_to_end(op, loop, std::move(command),
                                      {.time = std::chrono::seconds(10)}));
  if (finished.status.success()) co_return Status();
  co_return std::unexpected(
      sandbox_refused(finished.errors.empty() ? finished.status.to_string() : finished.errors));
}

}  // namespace berth::engine
