// What the store tells about its content: models, what an operation took or freed, and disk use.
// Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/digest.h"
#include "oci/reference.h"

namespace berth::store {

// A model: a manifest that was tagged here once and has not been removed since.
struct Record {
  oci::Digest id =
      oci::Digest::of({});  // of the manifest; of the chosen one when a tag stands for an index
  std::string media_type;
  std::vector<oci::Reference> tags;  // sorted; empty when every tag has moved on
  std::chrono::sys_seconds added;    // when it came into this store
  std::uint64_t size = 0;            // of config and layers, in bytes
  bool partial = false;              // some of it was left out when it was pulled
  std::string metadata;  // the caller's cached summary (Store::set_metadata); "" when there is none
};

// A model found by a name, and what the name meant.
struct Found {
  Record record;
  std::optional<oci::Reference>
      tag;  // set when the name stood for one tag, also by a partial match
};

struct Untagged {
  oci::Digest id = oci::Digest::of({});  // the model that the tag belonged to
  bool last = false;  // it has no tag left; whether it is then removed is the caller's rule
};

// What removing or pruning took away, or would take with dry_run.
struct Freed {
  std::vector<oci::Digest> models;  // models whose entry went
  std::vector<oci::Digest> blobs;
  std::vector<std::string> ingests;  // unfinished transfers, as "sha256:…" or a temporary name
  std::uint64_t bytes = 0;  // disk space; nothing for a file that has another name elsewhere
};

enum class DryRun { kNo, kYes };
enum class Untagging { kKeep, kRemove };

struct PruneOptions {
  DryRun dry_run = DryRun::kNo;
  Untagging untagged_models = Untagging::kKeep;
  std::chrono::seconds partials_older_than{0};  // unfinished transfers that nobody works on
};

// How a local file may be taken.
enum class Adoption {
  kReflinkOrCopy,  // shares blocks where the file system can, else copies; independent of the
                   // original afterwards
  kLink,  // a second name for the same file: no space, but changed when the original is changed
};

struct Adopted {
  oci::Digest digest = oci::Digest::of({});
  std::uint64_t size = 0;
  enum class Way { kReflinked, kCopied, kLinked, kAlreadyHere } way = Way::kCopied;
};
std::string_view to_string(Adopted::Way way);  // "reflinked", "copied", "linked", "already here"

struct DiskUse {
  std::uint64_t apparent = 0;   // as files say
  std::uint64_t allocated = 0;  // as the disk counts, hard links once
};
struct Usage {
  DiskUse blobs;      // verified content
  DiskUse ingest;     // unfinished transfers
  DiskUse catalogue;  // berth.db, refs.log, index.json, locks
};

}  // namespace berth::store
