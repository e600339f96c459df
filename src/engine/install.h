// Engine roots under Berth's data folder: made from Debian packages or from an unpacked image, and
// listed.
//
// Layout: <engines>/llama.cpp/<version>/ is a root file system with .packages in it, or an image's
// (image_root.h); `current` is a link to the one in use. Nothing outside that folder is touched.
// Failures: kUnsupported (no Debian tools here, an image without an engine), kUnavailable (the
// script's own sentence, an engine that does not run), kInvalid (a root without llama-server).
// Source: facts/engine.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::engine {

struct InstalledRunner {
  std::string version;  // of llama.cpp-tools, or what the image's says, with its reference
  std::string root;
  bool current = false;
  std::uint64_t bytes = 0;
};

struct InstallRequest {
  std::string engines_dir;
  std::string suite = "forky";  // Debian suite that carries llama.cpp
  bool vulkan = false;          // with libggml0-backend-vulkan
  bool force = false;           // fetch again
};

using Progress = std::function<void(std::string_view line)>;

// From Debian packages, by debian_root.sh (carried in this binary).
rt::Task<Result<InstalledRunner>> install_runner(rt::Op& op, rt::Loop& loop, InstallRequest request,
                                                 Progress progress);
// From a root file system that the caller has unpacked; it is moved into place.
rt::Task<Result<InstalledRunner>> install_root(rt::Op& op, rt::Loop& loop, std::string engines_dir,
                                               std::string unpacked, std::string version);

// From a container image whose layers the caller has applied (image_layers.h) to <folder>/rootfs.
// Its llama-server is found, run once in the sandbox with --version, and only then moved into place
// and made the one in use; until then the old one is.
struct ImageInstall {
  std::string engines_dir;
  std::string folder;     // below engines_folder(), so that putting it in place is a rename
  std::string reference;  // for the record and for people
  std::string digest;
  std::vector<std::string> entrypoint;  // of the image's config, unchecked
  std::string library_path;             // its LD_LIBRARY_PATH, unchecked
  std::string path;                     // PATH, to find bubblewrap on
};
rt::Task<Result<InstalledRunner>> install_image(rt::Op& op, rt::Loop& loop, ImageInstall request);
// Where the engines of this kind lie; what begins with a dot there is none.
std::string engines_folder(const std::string& engines_dir);
// The engine in use, when it is that image. Blocking.
std::optional<InstalledRunner> image_in_use(const std::string& engines_dir,
                                            const std::string& digest);
// Newest first. Blocking.
Result<std::vector<InstalledRunner>> installed_runners(const std::string& engines_dir);
// Removes one version ("" = all). Blocking. Returns the bytes freed.
Result<std::uint64_t> uninstall_runner(const std::string& engines_dir, const std::string& version);

}  // namespace berth::engine
