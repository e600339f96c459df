// Where the regular pass over a registry's blobs is, in a small file of its folder.
//
// Blocking. A file that is missing or says something else is a pass that has not begun: it costs
// reading, never a blob. Format: docs/dev/depot.md.
#pragma once

#include <string>

#include "fs/file.h"

namespace berth::depot {

struct VerifyPosition {
  std::int64_t began = 0;  // seconds since 1970
  std::string last;        // digest; those behind it are still to be looked at
  bool ended = false;

  static VerifyPosition load(const fs::Dir& root);
  Status save(const fs::Dir& root) const;

  friend bool operator==(const VerifyPosition&, const VerifyPosition&) = default;
};

}  // namespace berth::depot
