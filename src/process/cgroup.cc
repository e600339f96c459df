#include "process/cgroup.h"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace berth::process {
namespace {

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The kernel makes these files with the group; O_CREAT is for the folders that tests give.
UniqueFd open_to_write(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

bool spill(const std::string& path, std::string_view text) {
  const UniqueFd file = open_to_write(path);
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool lists(std::string_view text, std::string_view word) {
  for (const std::string& each : split(trim(text), ' ')) {
    if (each == word) return true;
  }
  return false;
}

bool controls_memory(const std::string& folder) {
  const std::string on = slurp(folder + "/cgroup.subtree_control");
  return lists(on, "memory") && lists(on, "pids");
}

// The folder of this process's own group: the line "0::/path".
std::optional<std::string> own_group(const Cgroup::Places& places) {
  for (const std::string& line : split(slurp(places.self), '\n')) {
    if (line.starts_with("0::/") && line.find("/..") == std::string::npos) {
      return places.mount + (line == "0::/" ? "" : line.substr(3));
    }
  }
  return std::nullopt;
}

bool writable(const std::string& folder) {
  return ::access(folder.c_str(), W_OK) == 0 &&
         ::access((folder + "/cgroup.procs").c_str(), W_OK) == 0;
}

bool marked(const std::string& folder, const char* attribute) {
  char value = 0;
  return ::getxattr(folder.c_str(), attribute, &value, 1) == 1 && value == '1';
}

// systemd marks what it delegates. Without a mark, a plain user who may write there was given it;
// root may write everywhere and was given nothing.
bool delegated(const std::string& folder, const Cgroup::Places& places) {
  if (folder.size() <= places.mount.size() || !writable(folder)) return false;
  return ::geteuid() != 0 || marked(folder, "user.delegate") || marked(folder, "trusted.delegate");
}

bool only_us(const std::string& folder) {
  return trim(slurp(folder + "/cgroup.procs")) == std::to_string(::getpid());
}

enum class Room { kNone, kAbove, kOwn };

struct Finding {
  Room room = Room::kNone;
  std::string folder;
  std::string reason;  // why there is none
};

Finding find_room(const Cgroup::Places& places) {
  if (::access((places.mount + "/cgroup.controllers").c_str(), R_OK) != 0) {
    return {.reason = "this machine has no unified cgroup v2 hierarchy"};
  }
  const auto own = own_group(places);
  if (!own) return {.reason = "this process is in no cgroup v2"};
  const std::string above = own->substr(0, own->rfind('/'));
  // A user's session, or our own group after make_room: it hands the controllers down already.
  if (delegated(above, places) && controls_memory(above)) return {Room::kAbove, above, ""};
  if (delegated(*own, places) && only_us(*own) &&
      lists(slurp(*own + "/cgroup.controllers"), "memory")) {
    return {Room::kOwn, *own, ""};
  }
  return {.reason = "no cgroup is delegated to this process"};
}

// No process may sit in a group that hands controllers down, so we first move into a leaf of it.
bool make_room(const std::string& own) {
  const std::string leaf = own + "/berth";
  if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return false;
  return spill(leaf + "/cgroup.procs", "0") &&
         spill(own + "/cgroup.subtree_control", "+memory +pids");
}

}  // namespace

Result<std::optional<Cgroup>> Cgroup::create(const std::string& name, CgroupLimits limits) {
  return create(name, limits, Places());
}

Result<std::optional<Cgroup>> Cgroup::create(const std::string& name, CgroupLimits limits,
                                             const Places& places) {
  const Finding finding = find_room(places);
  if (finding.room == Room::kNone || (finding.room == Room::kOwn && !make_room(finding.folder))) {
    log::debug("no cgroup for {}: {}", name, finding.reason);
    return std::nullopt;
  }
  const std::string path = finding.folder + "/" + name;
  if (::mkdir(path.c_str(), 0755) != 0) return std::nullopt;
  UniqueFd procs = open_to_write(path + "/cgroup.procs");
  if (!procs) return std::nullopt;
  Cgroup group(path, std::make_shared<const UniqueFd>(std::move(procs)));
  bool set = true;
  if (limits.memory_bytes) {
    set = spill(path + "/memory.max", std::to_string(*limits.memory_bytes)) && set;
    // Engines that outgrow their limit should fail at once and not swap the machine to a halt.
    (void)spill(path + "/memory.swap.max", "0");
    (void)spill(path + "/memory.oom.group", "1");
  }
  if (limits.processes) set = spill(path + "/pids.max", std::to_string(*limits.processes)) && set;
  if (!set) return std::nullopt;
  return group;
}

Cgroup::Cgroup(Cgroup&& other) noexcept
    : path_(std::exchange(other.path_, {})), procs_(std::move(other.procs_)) {}

Cgroup::~Cgroup() {
  if (path_.empty()) return;
  procs_.reset();
  if (::rmdir(path_.c_str()) != 0 && errno != ENOENT) {
    log::debug("the cgroup {} stays: it is in use", path_);
  }
}

bool Cgroup::out_of_memory() const {
  for (const std::string& line : split(slurp(path_ + "/memory.events"), '\n')) {
    if (line.starts_with("oom_kill ") && line != "oom_kill 0") return true;
  }
  return false;
}

std::string why_no_cgroup(const Cgroup::Places& places) { return find_room(places).reason; }
std::string why_no_cgroup() { return why_no_cgroup(Cgroup::Places()); }

}  // namespace berth::process
