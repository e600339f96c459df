#include "engine/image_root.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <sys/stat.h>

#include "base/text.h"
#include "fs/file.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

constexpr const char* kRecordName = ".image";
constexpr std::size_t kMaxRecord = 64 * 1024;
constexpr int kMaxLinks = 40;
constexpr std::string_view kKnownPlaces[] = {"/app/llama-server", "/usr/bin/llama-server",
                                             "/usr/local/bin/llama-server",
                                             "/opt/llama.cpp/bin/llama-server", "/llama-server"};
// What the sandbox makes itself.
constexpr std::string_view kOwnFolders[] = {"proc", "sys", "dev", "tmp", "run", "models", "gpu"};

std::string joined(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path += "/" + part;
  return path;
}

bool is_runnable(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0;
}

std::string one_line(std::string_view text) { return printable(trim(text), 1000); }

bool is_plain_folder(std::string_view path) {
  const bool plain = std::ranges::all_of(path, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' ||
           c == '.' || c == '_' || c == '-' || c == '+';
  });
  return plain && path.starts_with('/') && path.size() > 1 && path.size() <= fs::kMaxPath;
}

}  // namespace

std::optional<ImageRecord> read_image_record(const std::string& folder) {
  const auto dir = fs::Dir::open(folder);
  const auto text = dir ? dir->read_small(kRecordName, kMaxRecord) : fail(Code::kNotFound, "none");
  if (!text) return std::nullopt;
  ImageRecord record;
  for (const std::string& line : split(*text, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    const std::string_view key = std::string_view(line).substr(0, space);
    const std::string value = line.substr(space + 1);
    if (key == "reference") record.reference = value;
    if (key == "digest") record.digest = value;
    if (key == "program") record.program = value;
    if (key == "libraries") record.libraries = value;
    if (key == "version") record.version = value;
  }
  if (record.program.empty()) return std::nullopt;
  return record;
}

Status write_image_record(const std::string& folder, const ImageRecord& record) {
  TRY(const fs::Dir dir, fs::Dir::open(folder));
  return dir.replace(kRecordName,
                     fmt::format("reference {}\ndigest {}\nprogram {}\nlibraries {}\nversion {}\n",
                                 one_line(record.reference), record.digest, record.program,
                                 record.libraries, one_line(record.version)));
}

std::optional<std::string> resolve_inside(const std::string& root, const std::string& path) {
  const auto parts_of = [](const std::string& text) { return split(text, '/'); };
  const std::vector<std::string> words = parts_of(path);
  std::deque<std::string> left(words.begin(), words.end());
  std::vector<std::string> done;
  int links = 0;
  while (!left.empty()) {
    const std::string part = left.front();
    left.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    const std::string host = root + joined(done) + "/" + part;
    struct stat info{};
    if (::lstat(host.c_str(), &info) != 0) return std::nullopt;
    if (!S_ISLNK(info.st_mode)) {
      done.push_back(part);
      continue;
    }
    std::error_code failed;
    const std::string target = files::read_symlink(host, failed).string();
    if (failed || target.empty() || ++links > kMaxLinks) return std::nullopt;
    if (target.starts_with('/')) done.clear();
    const std::vector<std::string> more = parts_of(target);
    left.insert(left.begin(), more.begin(), more.end());
  }
  return joined(done);
}

Result<std::string> find_in_image(const std::string& root,
                                  const std::vector<std::string>& entrypoint) {
  std::vector<std::string> places;
  if (!entrypoint.empty() && entrypoint[0].starts_with('/') &&
      entrypoint[0].ends_with("/llama-server"))
    places.push_back(entrypoint[0]);
  places.insert(places.end(), std::begin(kKnownPlaces), std::end(kKnownPlaces));
  for (const std::string& place : places) {
    const auto inside = resolve_inside(root, place);
    if (inside && is_plain_folder(*inside) && is_runnable(root + *inside)) return *inside;
  }
  return fail(Code::kUnsupported,
              "it has no llama-server (looked at its entry point, /app, /usr/bin and "
              "/usr/local/bin), so it is no llama.cpp engine");
}

std::string library_path(const std::string& program, std::string_view configured) {
  std::string folders = program.substr(0, program.rfind('/'));
  for (const std::string& folder : split(configured, ':')) {
    if (is_plain_folder(folder)) folders += (folders.empty() ? "" : ":") + folder;
  }
  return folders;
}

Installation image_installation(const std::string& folder, const ImageRecord& record,
                                Installation::Origin origin) {
  Installation installation{.origin = origin, .root = folder + "/rootfs"};
  installation.program = installation.root + record.program;
  installation.image = true;
  installation.libraries = record.libraries;
  installation.version =
      fmt::format("llama.cpp{}{} from {}@{}", record.version.empty() ? "" : " ", record.version,
                  record.reference.substr(0, record.reference.find('@')), record.digest);
  return installation;
}

void show_image(const Installation& installation, SandboxPlan& plan) {
  std::error_code ignored;
  for (const auto& entry : files::directory_iterator(installation.root, ignored)) {
    const std::string name = entry.path().filename().string();
    if (std::ranges::find(kOwnFolders, name) != std::end(kOwnFolders)) continue;
    // Never followed here: a link of the image would name a folder of this machine.
    if (entry.is_symlink(ignored)) {
      plan.links.emplace_back(files::read_symlink(entry.path(), ignored).string(), "/" + name);
    } else if (entry.is_directory(ignored)) {
      plan.mounts.push_back({.host = entry.path().string(), .inside = "/" + name});
    }
  }
  if (!installation.libraries.empty())
    plan.environment.emplace_back("LD_LIBRARY_PATH", installation.libraries);
  plan.program = installation.program.substr(installation.root.size());
}

}  // namespace berth::engine
