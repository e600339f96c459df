// What a check of the store found: one record a fault or left-over. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/manifest.h"
#include "oci/reference.h"

namespace berth::store {

struct Finding {
  enum class Kind {
    kMissing,    // a blob that the catalogue knows has no file
    kWrongSize,  // its file has another size
    kDamaged,    // its bytes are not what its digest says, or cannot be read
    kRecord,     // the catalogue contradicts a manifest
    kTag,        // a name stands for a model that is not whole
    kLog,        // lines of refs.log do not check
    kIndex,      // index.json does not say what the catalogue says
    kCatalogue,  // SQLite finds its file damaged
    kUnlisted,   // a blob's file without a row
    kForeign,    // a file that Berth did not make
    kSession,    // what a process that died held
    kIngest,     // an unfinished transfer that nobody works on
  } kind = Kind::kMissing;
  std::string what;       // a digest, a name, or a path below the store's root
  std::string message;    // one sentence
  bool harmless = false;  // left over: no model is less for it
  // Of the first three: what to fetch again, and who may have it.
  std::optional<oci::Descriptor> blob = {};
  std::vector<oci::Reference> sources = {};
  std::vector<std::string> models = {};  // tags, or ids of untagged models, that need it
};
std::string_view to_string(Finding::Kind kind);  // "missing", "wrong_size", …

struct CheckOptions {
  bool read_data = false;  // read every byte and compare the digests
};

struct CheckReport {
  std::vector<Finding> findings;
  std::uint64_t blobs = 0;  // looked at
  std::uint64_t bytes = 0;  // their size
  std::uint64_t read = 0;   // bytes that were hashed
};

}  // namespace berth::store
