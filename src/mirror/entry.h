// What a registry mirrors: entries of registry_server.mirrors.
//
// Pure. kInvalid names the entry and what is wrong with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::mirror {

// Repositories below `prefix` here are those of the registry `upstream`.
struct Entry {
  std::string prefix;    // "docker.io", "hub"
  std::string upstream;  // "docker.io", "localhost:5001"
  bool plain_http = false;
};

struct Entries {
  std::vector<Entry> all;
  // Whose prefix stands for names that are not here ("*=docker.io"); "" = none.
  std::string fallback;
};

// "ghcr.io", "hub=docker.io", "lab=http://10.0.0.7:5000", "*=docker.io".
Result<Entries> parse_entries(const std::vector<std::string>& texts);

// The entry for a repository here and its name upstream; nullptr when it is no mirror's.
struct Match {
  const Entry* entry = nullptr;
  std::string name;
};
Match match(const std::vector<Entry>& entries, std::string_view repository);

}  // namespace berth::mirror
