// An engine that came as a container image: where things are in its root file system, and what is
// kept beside it.
//
// Layout of a folder: rootfs/ holds what the image's layers made, .image what Berth knows of it;
// nothing that an image brings can write the latter. Blocking; private to engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/sandbox.h"

namespace berth::engine {

struct ImageRecord {
  std::string reference;  // full, as asked for
  std::string digest;     // what it stood for
  std::string program;    // inside, without links: "/app/llama-server"
  std::string libraries;  // LD_LIBRARY_PATH inside
  std::string version;    // what --version said; "" before it was asked
};

std::optional<ImageRecord> read_image_record(const std::string& folder);
Status write_image_record(const std::string& folder, const ImageRecord& record);

// The path inside `root` that `path` leads to, links followed as the engine would see them: an
// absolute one starts at `root` again, none leads out. nullopt when there is nothing.
std::optional<std::string> resolve_inside(const std::string& root, const std::string& path);

// llama-server in an image's root: its entry point, or one of the well-known places; a regular file
// that may be run. kUnsupported when there is none.
Result<std::string> find_in_image(const std::string& root,
                                  const std::vector<std::string>& entrypoint);

// LD_LIBRARY_PATH for it: its own folder, then what the image's config says, as far as it is plain
// absolute paths.
std::string library_path(const std::string& program, std::string_view configured);

Installation image_installation(const std::string& folder, const ImageRecord& record,
                                Installation::Origin origin);

// What the sandbox sees of it: the folders at its top read-only, the links there as links.
void show_image(const Installation& installation, SandboxPlan& plan);

}  // namespace berth::engine
