#include "engine/installation.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/text.h"
#include "engine/image_root.h"
#include "process/command.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

constexpr std::string_view kProgram = "llama-server";

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string resolved(const std::string& path) {
  std::error_code failed;
  const files::path real = files::canonical(path, failed);
  return failed ? path : real.string();
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return files::is_directory(path, ignored);
}

// What debian_root.sh wrote ("name version" a line), or what came with an image.
std::string version_of_root(const std::string& root) {
  for (const std::string& line : split(slurp(root + "/.packages"), '\n')) {
    if (line.starts_with("llama.cpp-tools ")) return "llama.cpp " + printable(line.substr(16), 64);
  }
  const std::string version = slurp(root + "/.version");
  return version.empty() ? "llama.cpp" : printable(trim(version), 256);
}

Backends backends_in(const std::vector<std::string>& folders) {
  Backends names;
  for (const std::string& folder : folders) {
    std::error_code ignored;
    for (const auto& entry : files::directory_iterator(folder, ignored)) {
      const std::string file = entry.path().filename().string();
      if (!file.starts_with("libggml-") || !file.ends_with(".so")) continue;
      const std::string name = file.substr(8, file.size() - 8 - 3);
      if (name != "base" && !name.starts_with("cpu")) names.push_back(name);
    }
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::unique(names);
  names.erase(twice.begin(), twice.end());
  return names;
}

Installation with_backends(Installation installation) {
  installation.backends = backends_in(backend_folders(installation));
  return installation;
}

Result<Installation> configured_at(const std::string& path) {
  const auto origin = Installation::Origin::kConfigured;
  if (is_folder(path)) {
    if (auto root = root_at(path, origin)) return *root;
    if (const auto program = process::find_program(path + "/" + std::string(kProgram), "")) {
      return with_backends({.origin = origin, .program = resolved(*program)});
    }
  } else if (path.find('/') != std::string::npos) {
    if (const auto program = process::find_program(path, "")) {
      return with_backends({.origin = origin, .program = resolved(*program)});
    }
  }
  // Never on to the next place: the user meant this one.
  return fail(Code::kNotFound,
              "the configured engine {} is not llama-server, a folder that holds it, or an engine "
              "root: correct the path or remove the setting",
              printable(path));
}

}  // namespace

std::string version_in(std::string_view text) {
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with("version: ")) return printable(line.substr(9), 80);
  }
  return "";
}

std::string library_folder(const std::string& root) {
  for (const char* triplet : {"x86_64-linux-gnu", "aarch64-linux-gnu"}) {
    const std::string folder = root + "/usr/lib/" + triplet;
    if (is_folder(folder)) return folder;
  }
  return root + "/usr/lib";
}

std::vector<std::string> backend_folders(const Installation& installation) {
  if (installation.image) {
    std::vector<std::string> folders{
        installation.program.substr(0, installation.program.rfind('/'))};
    for (const char* triplet : {"x86_64-linux-gnu", "aarch64-linux-gnu"}) {
      const auto packaged =
          resolve_inside(installation.root, fmt::format("/usr/lib/{}/ggml/backends0", triplet));
      if (packaged) folders.push_back(installation.root + *packaged);
    }
    return folders;
  }
  if (!installation.root.empty()) return {library_folder(installation.root) + "/ggml/backends0"};
  const std::string own = installation.program.substr(0, installation.program.rfind('/'));
  return {own, library_folder("") + "/ggml/backends0"};
}

std::optional<Installation> root_at(const std::string& folder, Installation::Origin origin) {
  const std::string root = resolved(folder);
  if (const auto record = read_image_record(root))
    return with_backends(image_installation(root, *record, origin));
  const auto program = process::find_program(root + "/usr/bin/" + std::string(kProgram), "");
  // The host's own "/usr" is no engine root: it has its own loader and needs no sandbox root.
  if (!program || root == "/") return std::nullopt;
  return with_backends(
      {.origin = origin, .program = *program, .root = root, .version = version_of_root(root)});
}

Result<Installation> find_llama(const SearchPlaces& places) {
  if (!places.configured.empty()) return configured_at(places.configured);
  if (!places.engines_dir.empty()) {
    const std::string current = places.engines_dir + "/llama.cpp/current";
    if (auto root = root_at(current, Installation::Origin::kInstalled)) return *root;
  }
  if (const auto program = process::find_program(kProgram, places.path)) {
    return with_backends({.origin = Installation::Origin::kOnPath, .program = resolved(*program)});
  }
  return fail(Code::kNotFound,
              "no engine is here to run models with: install one with berth install-runner, or set "
              "LLAMA_SERVER_PATH to the folder of llama-server");
}

std::string_view to_string(Installation::Origin origin) {
  switch (origin) {
    case Installation::Origin::kConfigured:
      return "configured";
    case Installation::Origin::kInstalled:
      return "installed by berth";
    case Installation::Origin::kOnPath:
      return "on PATH";
  }
  return "";
}

}  // namespace berth::engine
