#include "config/paths.h"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <pwd.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "base/text.h"

extern char** environ;

namespace berth::config {
namespace {

constexpr std::size_t kMaxRuntime = kMaxSocketPath - kSocketNameRoom;

Result<std::string> home(const Environment& environment) {
  if (auto home = environment.get("HOME")) return *home;
  const passwd* entry = ::getpwuid(::getuid());
  if (entry && entry->pw_dir && *entry->pw_dir) return std::string(entry->pw_dir);
  return fail(
      Code::kInvalid,
      "this user has no home folder, so there is no place for models; set HOME or BERTH_HOME");
}

// XDG says that a relative value is to be ignored.
std::string xdg(const Environment& environment, std::string_view name,
                const std::string& otherwise) {
  const auto value = environment.get(name);
  return value && value->starts_with('/') ? *value : otherwise;
}

// Not for security: tells the runtime folders of several homes apart in few characters (FNV-1a).
std::string short_hash(std::string_view text) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return fmt::format("{:016x}", hash).substr(0, 12);
}

std::string shared_runtime() { return fmt::format("/tmp/berth-{}", ::getuid()); }

std::string runtime_below_home(const std::string& root) {
  std::string runtime = root + "/run";
  if (runtime.size() <= kMaxRuntime) return runtime;
  return shared_runtime() + "/" + short_hash(root);
}

std::string default_runtime(const Environment& environment) {
  const std::string given = xdg(environment, "XDG_RUNTIME_DIR", "");
  if (given.empty() || given.size() + 6 > kMaxRuntime) return shared_runtime();
  return given + "/berth";
}

Status set_folders(Paths& paths, const Environment& environment) {
  if (auto root = environment.get("BERTH_HOME")) {
    const std::string base = absolute_path(environment, *root);
    paths.config = paths.data = base;
    paths.cache = base + "/cache";
    paths.runtime = runtime_below_home(base);
    return {};
  }
  TRY(const std::string user, home(environment));
  paths.config = xdg(environment, "XDG_CONFIG_HOME", user + "/.config") + "/berth";
  paths.data = xdg(environment, "XDG_DATA_HOME", user + "/.local/share") + "/berth";
  paths.cache = xdg(environment, "XDG_CACHE_HOME", user + "/.cache") + "/berth";
  paths.runtime = default_runtime(environment);
  return {};
}

// A store elsewhere has its own daemon, and so its own socket: a command that names the other store
// never talks to the wrong one.
std::string default_socket(const Paths& paths) {
  if (paths.store == paths.data + "/store") return paths.runtime + "/berth.sock";
  return fmt::format("{}/berth-{}.sock", paths.runtime, short_hash(paths.store));
}

Status make_private(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  if (errno != EEXIST)
    return fail_errno(errno, fmt::format("cannot make the runtime folder {}", path));
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    return fail_errno(errno, fmt::format("cannot look at the runtime folder {}", path));
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::getuid() || (info.st_mode & 077) != 0) {
    return fail(Code::kDenied,
                "{} is not a folder that only this user can enter, so sockets in it could be "
                "somebody else's; "
                "remove it, or set XDG_RUNTIME_DIR",
                path);
  }
  return {};
}

}  // namespace

Environment Environment::of_process() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view line = *entry;
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    variables.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return Environment(std::move(variables));
}

std::optional<std::string> Environment::get(std::string_view name) const {
  const auto found = variables_.find(std::string(name));
  if (found == variables_.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::string absolute_path(const Environment& environment, std::string_view path) {
  if (path.empty()) return "";
  std::filesystem::path given(path);
  if (path == "~" || path.starts_with("~/")) {
    if (auto user = home(environment)) given = *user + std::string(path.substr(1));
  }
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(given, failed);
  std::string text = (failed ? given : absolute).lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

Result<Paths> resolve_paths(const Environment& environment, std::string_view config_file,
                            std::string_view store, std::string_view socket) {
  Paths paths;
  TRY_OK(set_folders(paths, environment));
  paths.config_file =
      config_file.empty() ? paths.config + "/config.toml" : absolute_path(environment, config_file);
  paths.store = store.empty() ? paths.data + "/store" : absolute_path(environment, store);
  paths.engines = paths.data + "/engines";
  paths.socket = socket.empty() || socket == "none" ? default_socket(paths)
                                                    : absolute_path(environment, socket);
  if (paths.socket.size() > kMaxSocketPath) {
    return fail(Code::kInvalid,
                "the socket path {} has {} bytes, and the system takes {}; choose a shorter one",
                paths.socket, paths.socket.size(), kMaxSocketPath);
  }
  return paths;
}

Status prepare_runtime(const Paths& paths) {
  // Only the folders that Berth itself names: what is above them (XDG_RUNTIME_DIR, BERTH_HOME)
  // belongs to the user.
  const std::string shared = shared_runtime();
  if (paths.runtime.starts_with(shared + "/")) {
    TRY_OK(make_private(shared));
  } else if (paths.runtime != shared) {
    std::error_code failed;
    std::filesystem::create_directories(std::filesystem::path(paths.runtime).parent_path(), failed);
    if (failed) {
      return fail_errno(failed.value(),
                        fmt::format("cannot make the folder above {}", paths.runtime));
    }
  }
  return make_private(paths.runtime);
}

}  // namespace berth::config
