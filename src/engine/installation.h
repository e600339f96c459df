// Where llama-server is. Blocking; private to engine.
#pragma once

#include <string>
#include <string_view>

#include "engine/engine.h"

namespace berth::engine {

struct SearchPlaces {
  std::string configured;
  std::string engines_dir;
  std::string path;
};

// Without running anything: the version is "" for a binary that is in no engine root.
Result<Installation> find_llama(const SearchPlaces& places);

// The engine root at `folder`, when there is one: it holds usr/bin/llama-server, or it is an
// installed image.
std::optional<Installation> root_at(const std::string& folder, Installation::Origin origin);

// Of what --version printed: "0.7.0 (build 11669, commit Debian)"; "" when it did not say.
std::string version_in(std::string_view text);

// Folders with ggml's backends (libggml-*.so) that belong to an installation.
std::vector<std::string> backend_folders(const Installation& installation);

// The library folder of an engine root: usr/lib/<triplet>.
std::string library_folder(const std::string& root);

}  // namespace berth::engine
