#include "cli/background.h"

#include <array>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "fs/file.h"

extern char** environ;

namespace berth::cli {
namespace {

constexpr std::string_view kPidFile = "serve.pid";

std::string link_target(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : "";
}

constexpr std::size_t kMaxCommandLine = 128 * 1024;

// Reads a file of /proc (fs refuses what has no size).
std::string read_proc(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> piece{};
  while (fd && text.size() < kMaxCommandLine) {
    const ssize_t n = ::read(fd.get(), piece.data(), piece.size());
    if (n <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
  return text;
}

// argv: each word ends with a NUL.
std::vector<std::string> command_line(int pid) {
  auto words = split(read_proc(fmt::format("/proc/{}/cmdline", pid)), '\0');
  if (!words.empty() && words.back().empty()) words.pop_back();
  return words;
}

std::string program_name(const std::string& path) {
  // An upgraded program is shown as "… (deleted)".
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.substr(0, name.find(' '));
}

bool is_our_server(int pid) {
  const std::string theirs = program_name(link_target(fmt::format("/proc/{}/exe", pid)));
  if (theirs.empty() || theirs != program_name(link_target("/proc/self/exe"))) return false;
  const auto words = command_line(pid);
  return words.size() > 1 && words[1] == "serve";
}

struct Actions {
  posix_spawn_file_actions_t value{};
  Actions() { ::posix_spawn_file_actions_init(&value); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&value); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
};
struct Attributes {
  posix_spawnattr_t value{};
  Attributes() { ::posix_spawnattr_init(&value); }
  ~Attributes() { ::posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
};

// A session of its own, signals as a new program expects them.
void set_attributes(Attributes& attributes) {
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes.value, &none);
  ::posix_spawnattr_setsigdefault(&attributes.value, &all);
  ::posix_spawnattr_setflags(&attributes.value,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

}  // namespace

std::string background_log(const std::string& folder) { return folder + "/serve.log"; }

Result<std::optional<int>> find_background(const std::string& folder) {
  const auto dir = fs::Dir::open(folder);
  if (!dir) return std::nullopt;
  const auto text = dir->read_small(kPidFile, 32);
  if (!text) return std::nullopt;
  const auto pid = parse_u64(trim(*text));
  if (!pid || *pid < 2 || *pid > 4194304 || !is_our_server(static_cast<int>(*pid)))
    return std::nullopt;
  return static_cast<int>(*pid);
}

std::vector<std::string> background_words(int pid) {
  std::vector<std::string> words = command_line(pid);
  if (!words.empty()) words.erase(words.begin());
  return words;
}

Result<int> start_background(const std::string& folder, const std::vector<std::string>& words) {
  TRY(const fs::Dir dir, fs::Dir::create(folder));
  std::vector<std::string> all{"berth"};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> argv;
  for (std::string& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = background_log(folder);
  Actions actions;
  ::posix_spawn_file_actions_addopen(&actions.value, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions.value, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
  ::posix_spawn_file_actions_adddup2(&actions.value, 1, 2);
  Attributes attributes;
  set_attributes(attributes);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &actions.value, &attributes.value,
                                  argv.data(), environ);
  if (error != 0)
    return fail_errno(error, fmt::format("cannot start a server that logs to {}", log));
  TRY_OK(dir.replace(kPidFile, fmt::format("{}\n", pid)));
  return pid;
}

bool background_runs(int pid) {
  // Collects it when it is a child of ours.
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) == pid) return false;
  return is_our_server(pid);
}

Status stop_background(int pid) {
  if (!is_our_server(pid)) return {};
  if (::kill(pid, SIGTERM) != 0 && errno != ESRCH)
    return fail_errno(errno, fmt::format("cannot stop the server (process {})", pid));
  return {};
}

}  // namespace berth::cli
