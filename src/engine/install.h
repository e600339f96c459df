// Engine roots under Berth's data folder: made from Debian packages or from an unpacked image, and
// listed.
//
// Layout: <engines>/llama.cpp/<version>/ is a root file system with .packages in it; `current` is a
// link to the one in use. Nothing outside that folder is touched. Failures: kUnsupported (no Debian
// tools here), kUnavailable (the script's own sentence), kInvalid (a root without llama-server).
// Source: facts/engine.md.
#pragma once

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
  std::string version;  // of llama.cpp-tools, or the image's reference
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
// From a root file system that the caller has unpacked (an OCI image); it is moved into place.
rt::Task<Result<InstalledRunner>> install_root(rt::Op& op, rt::Loop& loop, std::string engines_dir,
                                               std::string unpacked, std::string version);
// Newest first. Blocking.
Result<std::vector<InstalledRunner>> installed_runners(const std::string& engines_dir);
// Removes one version ("" = all). Blocking. Returns the bytes freed.
Result<std::uint64_t> uninstall_runner(const std::string& engines_dir, const std::string& version);

}  // namespace berth::engine
