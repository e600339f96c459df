#include "remote/credential_helper.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "base/unique_fd.h"
#include "json/json.h"

namespace berth::remote {
namespace {

using Clock = std::chrono::steady_clock;

bool is_helper_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  return !name.empty() && name.size() <= 128 &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::optional<std::string> on_path(const std::string& program, const std::string& path) {
  for (const std::string& folder : split(path, ':')) {
    if (!folder.starts_with('/')) continue;  // never from the working directory
    const std::string candidate = folder + "/" + program;
    struct stat info{};
    if (::stat(candidate.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        ::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return std::nullopt;
}

// A child with a socket for its stdin and stdout. A socket, so that writing to a child that is gone
// gives EPIPE, not SIGPIPE.
class Child {
 public:
  static Result<Child> start(const std::string& program, const char* verb) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      return fail_errno(errno, "cannot make a socket");
    Child child;
    child.socket_ = UniqueFd(ends[0]);
    const UniqueFd theirs(ends[1]);
    if (const int error = child.spawn(program, verb, theirs.get()); error != 0) {
      return fail_errno(error, "cannot start " + program);
    }
    child.pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid_, 0)));
    return child;
  }

  Child(Child&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        socket_(std::move(other.socket_)),
        pidfd_(std::move(other.pidfd_)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }

  // False when the deadline passed.
  bool send(std::string_view input, Clock::time_point deadline) {
    while (!input.empty()) {
      if (!ready(socket_.get(), POLLOUT, deadline)) return false;
      const ssize_t sent =
          ::send(socket_.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) input.remove_prefix(static_cast<std::size_t>(sent));
      if (sent < 0 && errno != EINTR && errno != EAGAIN)
        break;  // it does not want to read: its answer will tell
    }
    ::shutdown(socket_.get(), SHUT_WR);
    return true;
  }

  // Its output to the end, at most `limit` bytes; false when the deadline passed or it wrote more.
  bool receive(std::string& output, std::size_t limit, Clock::time_point deadline) {
    std::array<char, 4096> buffer{};
    while (output.size() <= limit) {
      if (!ready(socket_.get(), POLLIN, deadline)) return false;
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
      if (got > 0) output.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return false;
  }

  // The exit status; nullopt when the deadline passed.
  std::optional<int> exit_status(Clock::time_point deadline) {
    if (!ready(pidfd_.get(), POLLIN, deadline)) return std::nullopt;
    return wait();
  }

 private:
  Child() = default;

  static bool ready(int fd, short events, Clock::time_point deadline) {
    while (true) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return false;
      pollfd waited{.fd = fd, .events = events, .revents = 0};
      const int ready = ::poll(&waited, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  int spawn(const std::string& program, const char* verb, int socket) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    // Stays in our process group: a prompt on the terminal works and Ctrl-C reaches it.
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    const std::array<char*, 3> arguments = {const_cast<char*>(program.c_str()),
                                            const_cast<char*>(verb), nullptr};
    const int error =
        ::posix_spawn(&pid_, program.c_str(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) pid_ = -1;
    return error;
  }

  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }

  pid_t pid_ = -1;
  UniqueFd socket_;
  UniqueFd pidfd_;
};

bool says_not_found(std::string_view output) {
  // The first is the protocol's; helpers of clouds and `pass` have the others.
  constexpr std::array<std::string_view, 3> kTexts = {"credentials not found in native keychain",
                                                      "credentials not found",
                                                      "no credentials server URL"};
  return std::ranges::any_of(kTexts, [&](std::string_view text) { return output.contains(text); });
}

}  // namespace

Result<CredentialHelper> CredentialHelper::find(const std::string& name, const std::string& path,
                                                std::chrono::milliseconds timeout) {
  if (!is_helper_name(name)) {
    return fail(Code::kInvalid,
                "\"{}\" in docker's config is no name of a credential helper; mend credsStore or "
                "credHelpers there",
                printable(name, 64));
  }
  const std::string program = "docker-credential-" + name;
  auto found = on_path(program, path);
  if (!found) {
    return fail(
        Code::kUnavailable,
        "cannot ask {} for a login, which docker's config names: it is not on PATH; install it, "
        "or take it out of credsStore and credHelpers",
        program);
  }
  return CredentialHelper(std::move(*found), program, timeout);
}

Result<CredentialHelper::Outcome> CredentialHelper::call(const char* verb,
                                                         const std::string& input) const {
  const auto deadline = Clock::now() + timeout_;
  TRY(Child child, Child::start(program_, verb));
  Outcome outcome;
  if (!child.send(input, deadline) || !child.receive(outcome.output, kMaxHelperOutput, deadline)) {
    if (outcome.output.size() > kMaxHelperOutput)
      return fail(Code::kUnavailable, "{} {} printed too much", name_, verb);
    return fail(Code::kTimeout, "{} {} did not answer within {}; try it by hand", name_, verb,
                format_duration(timeout_));
  }
  const auto status = child.exit_status(deadline);
  if (!status)
    return fail(Code::kTimeout, "{} {} did not end within {}; try it by hand", name_, verb,
                format_duration(timeout_));
  outcome.exit_status = *status;
  return outcome;
}

std::unexpected<Error> CredentialHelper::refused(const char* verb, const Outcome& outcome) const {
  return fail(Code::kUnavailable, "{} {} failed with status {}: {}", name_, verb,
              outcome.exit_status, printable(trim(outcome.output), 200));
}

Result<std::optional<Credential>> CredentialHelper::get(const std::string& server) const {
  TRY(const Outcome outcome, call("get", server));
  if (outcome.exit_status != 0) {
    if (says_not_found(outcome.output)) return std::nullopt;
    return refused("get", outcome);
  }
  // The text is a secret: a parse error must not quote it.
  const auto parsed = json::parse(outcome.output, name_);
  if (!parsed || !parsed->is_object())
    return fail(Code::kUnavailable, "{} get did not print a JSON object", name_);
  const json::View reply(*parsed, name_);
  Credential credential;
  TRY(credential.user, reply.string_or("Username", ""));
  TRY(std::string secret, reply.string_or("Secret", ""));
  if (credential.user.empty() && secret.empty()) return std::nullopt;
  (credential.user == "<token>" ? credential.identity_token : credential.password) =
      Secret(std::move(secret));
  return credential;
}

Status CredentialHelper::store(const std::string& server, const Credential& credential) const {
  const bool identity = !credential.identity_token.empty();
  json::Object entry;
  entry["ServerURL"] = server;
  entry["Username"] = identity ? "<token>" : credential.user;
  entry["Secret"] = identity ? credential.identity_token.reveal() : credential.password.reveal();
  TRY(const Outcome outcome, call("store", json::serialize(entry)));
  if (outcome.exit_status != 0) return refused("store", outcome);
  return {};
}

Result<bool> CredentialHelper::erase(const std::string& server) const {
  TRY(const Outcome outcome, call("erase", server));
  if (outcome.exit_status == 0) return true;
  if (says_not_found(outcome.output)) return false;
  return refused("erase", outcome);
}

}  // namespace berth::remote
