#include "engine/install.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "engine/debian_root_script.h"
#include "engine/image_root.h"
#include "engine/installation.h"
#include "engine/sandbox.h"
#include "fs/file.h"
#include "process/child.h"
#include "rt/async.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

constexpr int kScriptFd = 30;  // the script itself uses 9
constexpr std::chrono::milliseconds kInstallTime = std::chrono::minutes(30);
constexpr std::chrono::milliseconds kVersionTime = std::chrono::minutes(2);

// facts/engine.md; names that have changed between releases are given with both.
constexpr std::string_view kPackages[] = {
    "llama.cpp-tools", "libllama0", "libggml0",           "libc6",  "libstdc++6",
    "libgcc-s1",       "libgomp1",  "libssl3t64|libssl3", "zlib1g", "libzstd1"};
constexpr std::string_view kVulkanPackages[] = {"libggml0-backend-vulkan", "libvulkan1"};

std::string family_folder(const std::string& engines_dir) { return engines_dir + "/llama.cpp"; }

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A folder's name for a version: "1:0.7.0+dfsg-2" becomes "1-0.7.0+dfsg-2".
std::string folder_name(std::string_view version) {
  std::string name;
  for (const char c : version) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '+' || c == '_' || c == '~';
    name += plain ? c : '-';
  }
  while (name.starts_with('.') || name.starts_with('-')) name.erase(0, 1);
  if (name.empty() || name == "current") return "engine";
  return name.substr(0, 100);
}

std::string bare_version(const std::string& version) {
  return version.starts_with("llama.cpp ") ? version.substr(10) : version;
}

std::uint64_t bytes_below(const std::string& folder) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  for (files::recursive_directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed)) {
    struct stat info{};
    if (::lstat(at->path().c_str(), &info) == 0)
      bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
  }
  return bytes;
}

std::string current_folder(const std::string& family) {
  std::error_code failed;
  const files::path real = files::canonical(family + "/current", failed);
  return failed ? "" : real.string();
}

// One rename: `current` names the old engine or the new one, never nothing.
Status make_current(const std::string& family, const std::string& name) {
  const std::string link = family + "/.current-" + std::to_string(::getpid());
  std::error_code failed;
  files::remove(link, failed);
  files::create_directory_symlink(name, link, failed);
  if (!failed) files::rename(link, family + "/current", failed);
  if (failed)
    return fail_errno(failed.value(), fmt::format("cannot make {} the engine in use", name));
  return {};
}

InstalledRunner describe(const std::string& root, const Installation& found, bool current) {
  return {.version = found.version, .root = root, .current = current, .bytes = bytes_below(root)};
}

// Moves a complete root to where its version belongs, replacing the same version.
Result<InstalledRunner> put_in_place(const std::string& engines_dir, const std::string& unpacked,
                                     const std::string& version, std::string name = "") {
  const auto found = root_at(unpacked, Installation::Origin::kInstalled);
  if (!found) {
    return fail(Code::kInvalid, "{} is no engine: it has no usr/bin/llama-server",
                printable(version.empty() ? unpacked : version));
  }
  if (name.empty()) name = folder_name(bare_version(version.empty() ? found->version : version));
  const std::string family = family_folder(engines_dir);
  const std::string target = family + "/" + name;
  std::error_code failed;
  files::create_directories(family, failed);
  if (!version.empty()) std::ofstream(unpacked + "/.version") << version << "\n";
  const std::string old = family + "/.old-" + name;
  files::remove_all(old, failed);
  if (files::exists(target, failed)) files::rename(target, old, failed);
  files::rename(unpacked, target, failed);
  if (failed)
    return fail_errno(failed.value(), fmt::format("cannot put the engine into {}", target));
  TRY_OK(make_current(family, name));
  files::remove_all(old, failed);
  const auto placed = root_at(target, Installation::Origin::kInstalled);
  BERTH_ASSERT(placed.has_value());
  return describe(target, *placed, true);
}

// ---- debian_root.sh ----------------------------------------------------------------------------

std::vector<std::string> packages(const InstallRequest& request) {
  std::vector<std::string> names(std::begin(kPackages), std::end(kPackages));
  if (request.vulkan)
    names.insert(names.end(), std::begin(kVulkanPackages), std::end(kVulkanPackages));
  return names;
}

// What the script writes into a root that it has made for these words.
std::string request_text(const InstallRequest& request) {
  std::string text = request.suite + "\n";
  for (const std::string& name : packages(request)) text += name + "\n";
  return text;
}

std::optional<InstalledRunner> already_installed(const InstallRequest& request) {
  const std::string current = current_folder(family_folder(request.engines_dir));
  if (current.empty() || request.force) return std::nullopt;
  if (slurp(current + "/.request") != request_text(request)) return std::nullopt;
  const auto found = root_at(current, Installation::Origin::kInstalled);
  if (!found) return std::nullopt;
  return describe(current, *found, true);
}

Result<std::shared_ptr<const UniqueFd>> script_file() {
  UniqueFd file(::memfd_create("debian_root.sh", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "cannot make a memory file");
  const ssize_t written = ::write(file.get(), kDebianRootScript.data(), kDebianRootScript.size());
  if (written != static_cast<ssize_t>(kDebianRootScript.size())) {
    return fail_errno(errno, "cannot write the install script");
  }
  return std::make_shared<const UniqueFd>(std::move(file));
}

// apt needs to be found and may need a proxy; everything else stays behind.
std::vector<std::pair<std::string, std::string>> script_environment() {
  std::vector<std::pair<std::string, std::string>> environment{
      {"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"LANG", "C.UTF-8"}};
  for (const char* name : {"HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY",
                           "HTTPS_PROXY", "NO_PROXY", "APT_CONFIG"}) {
    if (const char* value = ::getenv(name)) environment.emplace_back(name, value);
  }
  return environment;
}

Result<process::Command> script_command(const InstallRequest& request, const std::string& root) {
  const bool plain =
      !request.suite.empty() &&
      request.suite.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos;
  if (!plain) return fail(Code::kInvalid, "{} is no Debian suite", printable(request.suite, 64));
  TRY(auto script, script_file());
  process::Command command{.program = "/bin/sh",
                           .arguments = {fmt::format("/proc/self/fd/{}", kScriptFd)},
                           .environment = script_environment(),
                           .fds = {{kScriptFd, std::move(script)}},
                           .no_new_privileges = false};  // apt may drop to its own user
  if (request.force) command.arguments.emplace_back("-f");
  command.arguments.push_back(root);
  command.arguments.push_back(request.suite);
  for (std::string& name : packages(request)) command.arguments.push_back(std::move(name));
  return command;
}

// The script's lines are "debian_root: what it does"; its last one says why it failed.
std::string_view without_prefix(std::string_view line) {
  constexpr std::string_view kPrefix = "debian_root: ";
  return line.starts_with(kPrefix) ? line.substr(kPrefix.size()) : line;
}

Status check_finished(const process::Finished& finished) {
  if (finished.status.success()) return {};
  process::Tail tail;
  tail.append(finished.errors);
  const std::string last = tail.last_lines(1);
  const Code code =
      last.find("this needs ") != std::string::npos ? Code::kUnsupported : Code::kUnavailable;
  return fail(code, "cannot install the engine: {}",
              last.empty() ? finished.status.to_string() : printable(without_prefix(last), 400));
}

}  // namespace

rt::Task<Result<InstalledRunner>> install_runner(rt::Op& op, rt::Loop& loop, InstallRequest request,
                                                 Progress progress) {
  const auto there = co_await rt::blocking(loop, [&request] { return already_installed(request); });
  if (there) co_return *there;
  const std::string family = family_folder(request.engines_dir);
  const std::string unpacked = family + "/.incoming";
  CO_TRY(process::Command command, script_command(request, unpacked));
  const auto on_line = [&progress](std::string_view line) {
    if (progress) progress(printable(without_prefix(line)));
  };
  CO_TRY(
      const process::Finished finished,
      co_await process::run_to_end(op, loop, std::move(command), {.time = kInstallTime}, on_line));
  CO_TRY_OK(check_finished(finished));
  co_return co_await rt::blocking(
      loop, [&request, &unpacked] { return put_in_place(request.engines_dir, unpacked, ""); });
}

rt::Task<Result<InstalledRunner>> install_root(rt::Op& op, rt::Loop& loop, std::string engines_dir,
                                               std::string unpacked, std::string version) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(loop, [&engines_dir, &unpacked, &version] {
    return put_in_place(engines_dir, unpacked, version);
  });
}

// ---- an image ----------------------------------------------------------------------------------

namespace {

// As the engine will be run, but with nothing to do: what does not even say its version here is not
// worth the place of one that works.
Result<process::Command> version_command(const Installation& installation,
                                         const std::string& path) {
  const auto bwrap = process::find_program("bwrap", path);
  if (!bwrap) {
    return fail(Code::kNotFound,
                "an engine from an image runs in the sandbox only, and bubblewrap is not "
                "installed: apt-get install bubblewrap");
  }
  SandboxPlan plan{.environment = {{"PATH", "/usr/bin:/bin"}, {"HOME", "/tmp"}}};
  show_image(installation, plan);
  plan.arguments = {"--version"};
  return sandboxed(*bwrap, std::move(plan));
}

Error does_not_run(const ImageInstall& request, const process::Finished& finished) {
  process::Tail tail;
  tail.append(finished.errors);
  const std::string last = printable(tail.last_lines(2), 400);
  // Its own complaint, unless it is that the program cannot be started.
  if (last.starts_with("bwrap: ") && !last.starts_with("bwrap: execvp"))
    return sandbox_refused(last);
  return {Code::kUnavailable,
          fmt::format("{} is not installed: its llama-server does not run here ({}{}{})",
                      printable(request.reference, 300), finished.status.to_string(),
                      last.empty() ? "" : ": ", last)};
}

Result<ImageRecord> describe_image(const ImageInstall& request) {
  const std::string root = request.folder + "/rootfs";
  ImageRecord record{.reference = request.reference, .digest = request.digest};
  TRY(record.program, in_context(find_in_image(root, request.entrypoint),
                                 fmt::format("{} is not installed", request.reference)));
  record.libraries = library_path(record.program, request.library_path);
  return record;
}

// "sha256:0123…" -> "image-0123…": a folder for each image, however it is called.
std::string image_folder(const std::string& digest) {
  const std::size_t colon = digest.find(':');
  return folder_name("image-" + digest.substr(colon == std::string::npos ? 0 : colon + 1, 24));
}

}  // namespace

std::string engines_folder(const std::string& engines_dir) { return family_folder(engines_dir); }

std::optional<InstalledRunner> image_in_use(const std::string& engines_dir,
                                            const std::string& digest) {
  const std::string current = current_folder(family_folder(engines_dir));
  if (current.empty()) return std::nullopt;
  const auto record = read_image_record(current);
  if (!record || record->digest != digest) return std::nullopt;
  const auto found = root_at(current, Installation::Origin::kInstalled);
  if (!found) return std::nullopt;
  return describe(current, *found, true);
}

rt::Task<Result<InstalledRunner>> install_image(rt::Op& op, rt::Loop& loop, ImageInstall request) {
  CO_TRY(ImageRecord record,
         co_await rt::blocking(loop, [&request] { return describe_image(request); }));
  const Installation candidate =
      image_installation(request.folder, record, Installation::Origin::kInstalled);
  CO_TRY(process::Command command, version_command(candidate, request.path));
  CO_TRY(const process::Finished finished,
         co_await process::run_to_end(op, loop, std::move(command), {.time = kVersionTime}));
  if (!finished.status.success()) co_return std::unexpected(does_not_run(request, finished));
  record.version = version_in(finished.output + "\n" + finished.errors);
  co_return co_await rt::blocking(loop, [&]() -> Result<InstalledRunner> {
    TRY_OK(write_image_record(request.folder, record));
    return put_in_place(request.engines_dir, request.folder, "", image_folder(record.digest));
  });
}

Result<std::vector<InstalledRunner>> installed_runners(const std::string& engines_dir) {
  const std::string family = family_folder(engines_dir);
  const std::string current = current_folder(family);
  std::vector<InstalledRunner> runners;
  std::error_code failed;
  for (const auto& entry : files::directory_iterator(family, failed)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || entry.is_symlink(failed)) continue;
    const auto found = root_at(entry.path().string(), Installation::Origin::kInstalled);
    if (!found) continue;
    const std::string folder = files::canonical(entry.path(), failed).string();
    runners.push_back(describe(folder, *found, folder == current));
  }
  std::ranges::sort(runners, [](const InstalledRunner& a, const InstalledRunner& b) {
    return a.current != b.current ? a.current : a.version > b.version;
  });
  return runners;
}

Result<std::uint64_t> uninstall_runner(const std::string& engines_dir, const std::string& version) {
  TRY(const auto runners, installed_runners(engines_dir));
  std::uint64_t freed = 0;
  std::error_code failed;
  for (const InstalledRunner& runner : runners) {
    if (!version.empty() && runner.version != version && bare_version(runner.version) != version)
      continue;
    if (runner.current) files::remove(family_folder(engines_dir) + "/current", failed);
    files::remove_all(runner.root, failed);
    if (failed) return fail_errno(failed.value(), fmt::format("cannot remove {}", runner.root));
    freed += runner.bytes;
  }
  if (freed == 0 && !version.empty()) {
    return fail(Code::kNotFound, "no engine of version {} is installed", printable(version));
  }
  return freed;
}

}  // namespace berth::engine
