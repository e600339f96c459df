// `berth plugin install`: docker model, for one user.
#include <array>
#include <cerrno>
#include <unistd.h>

#include "base/text.h"
#include "cli/commands.h"
#include "fs/file.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

struct Options {
  bool force = false;
};

constexpr const char* kName = "docker-model";

Result<std::string> plugin_folder(const Context& context) {
  if (!context.globals.docker_config.empty()) return context.globals.docker_config + "/cli-plugins";
  const std::string home = context.variable("HOME");
  if (home.empty())
    return fail(Code::kInvalid,
                "HOME is not set, so the user's docker folder is not known; set DOCKER_CONFIG");
  return home + "/.docker/cli-plugins";
}

Result<std::string> own_path() {
  std::array<char, 4096> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  if (n <= 0) return fail_errno(errno, "cannot find the path of this program");
  return std::string(path.data(), static_cast<std::size_t>(n));
}

std::string link_target(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : "";
}

bool is_berth(const std::string& target) { return target.substr(target.rfind('/') + 1) == "berth"; }

// Another program's plugin is not replaced by accident.
Result<std::string> install_link(const std::string& folder, bool force) {
  TRY(const std::string self, own_path());
  TRY(const fs::Dir dir, fs::Dir::create(folder, 0755));
  const std::string path = folder + "/" + kName;
  if (::access(path.c_str(), F_OK) == 0 && !force && !is_berth(link_target(path))) {
    return fail(Code::kConflict, "{} exists and is not Berth's; give --force to replace it", path);
  }
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  if (::symlink(self.c_str(), fresh.c_str()) != 0)
    return fail_errno(errno, fmt::format("cannot make the link {}", path));
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(fresh.c_str());
    return fail_errno(error, fmt::format("cannot make the link {}", path));
  }
  return path;
}

Result<bool> remove_link(const std::string& folder) {
  const std::string path = folder + "/" + kName;
  if (!is_berth(link_target(path))) return false;
  if (::unlink(path.c_str()) != 0) return fail_errno(errno, fmt::format("cannot remove {}", path));
  return true;
}

rt::Task<Result<int>> install(Context& context, Options& options) {
  CO_TRY(const std::string folder, plugin_folder(context));
  CO_TRY(const std::string path,
         co_await rt::blocking(context.loop, [&] { return install_link(folder, options.force); }));
  context.output.print("{}\n", printable(path, 4096));
  context.output.note("docker model is Berth now; try: docker model list");
  co_return 0;
}

rt::Task<Result<int>> uninstall(Context& context, Options&) {
  CO_TRY(const std::string folder, plugin_folder(context));
  CO_TRY(const bool removed,
         co_await rt::blocking(context.loop, [&] { return remove_link(folder); }));
  context.output.note(
      "{}", removed ? "docker model is no longer Berth" : "Berth is not installed as docker model");
  co_return 0;
}

}  // namespace

Command plugin_command() {
  auto o = std::make_shared<Options>();
  return {.name = "plugin",
          .summary = "Berth as docker model",
          .group = Group::kMachine,
          .children = {{.name = "install",
                        .summary = "Link Berth as the plugin docker-model of this user",
                        .examples = "berth plugin install",
                        .group = Group::kMachine,
                        .needs = Needs::kNothing,
                        .flags = {{.name = "force",
                                   .letter = 'f',
                                   .help = "Also over another program's plugin",
                                   .target = &o->force}},
                        .run = bound(o, install)},
                       {.name = "uninstall",
                        .summary = "Take the link away",
                        .examples = "berth plugin uninstall",
                        .group = Group::kMachine,
                        .needs = Needs::kNothing,
                        .run = bound(o, uninstall)}}};
}

}  // namespace berth::cli
