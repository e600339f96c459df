// The seams that content moves through. The local store, a registry, memory and archives implement
// them; copy_graph (content/copy.h) moves anything between any two.
//
// Loop thread. At most a few methods each; what not everyone can do is an interface of its own,
// asked for with dynamic_cast. Every method may fail with kCancelled and kTimeout by its Op.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "rt/op.h"
#include "rt/reader.h"
#include "rt/task.h"

namespace berth::content {

class Lanes;

struct ByteRange {
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;  // to the end when absent
};

// An open blob, positioned at the start of the range asked for.
struct Source {
  std::uint64_t size = 0;    // of the whole blob
  std::uint64_t offset = 0;  // where `reader` begins: may be 0 when the peer ignores ranges
  std::unique_ptr<rt::Reader> reader;
  UniqueFd file;  // set when the blob is a local file: whole, readable by pread
  // Set when more connections may read faster than one: those of the host, shared by all its blobs.
  std::shared_ptr<Lanes> lanes;
};

struct Fetcher {
  virtual ~Fetcher() = default;
  // kNotFound when it is not there; kBadRange when the range is outside. Bytes are not verified by
  // fetch: whoever keeps or trusts them verifies (read_small does).
  virtual rt::Task<Result<Source>> fetch(rt::Op& op, oci::Descriptor blob, ByteRange range) = 0;
};

// What a transfer tells the user. `blob` is by value: events may outlive the transfer.
struct Event {
  enum class Kind {
    kStart,
    kResumed,  // `current` is here from an earlier try
    kBytes,
    kDone,
    kExists,
    kMounted,
    kRetry,
  } kind;
  oci::Descriptor blob;
  std::uint64_t current = 0;  // bytes of this blob so far
  std::string message = {};   // kRetry: what it waits for
};
struct Progress {
  virtual ~Progress() = default;
  virtual void on(const Event& event) = 0;
};

// A place for blobs and manifests by digest. Manifests are blobs whose media type says so.
struct Storage : Fetcher {
  virtual rt::Task<Result<bool>> has(rt::Op& op, oci::Descriptor blob) = 0;
  // Brings the blob here, pulling what it needs from `from` (ranges, resumption and parallelism are
  // the destination's choice). Verified against size and digest before it is visible;
  // kDigestMismatch leaves nothing behind. A manifest is accepted only when its children are here.
  // Already here is success.
  virtual rt::Task<Status> put(rt::Op& op, oci::Descriptor blob, Fetcher& from,
                               Progress& progress) = 0;
};

struct Resolver {
  virtual ~Resolver() = default;
  // The descriptor a tag or digest stands for now: media type, digest, size. kNotFound when there
  // is none. `reference` is a tag or a digest within this target's repository (a store takes full
  // references).
  virtual rt::Task<Result<oci::Descriptor>> resolve(rt::Op& op, oci::Reference reference) = 0;
};

struct Tagger {
  virtual ~Tagger() = default;
  // Makes the reference stand for a manifest that is already here; moves an existing tag.
  virtual rt::Task<Status> tag(rt::Op& op, oci::Descriptor manifest, oci::Reference reference) = 0;
};

struct Target : Storage, Resolver, Tagger {};

// Optional power: takes a blob from another repository of the same registry without its bytes
// travelling.
struct Mounter {
  virtual ~Mounter() = default;
  virtual rt::Task<Result<bool>> mount(rt::Op& op, oci::Descriptor blob,
                                       std::string from_repository) = 0;
};

// Optional power: referrers of a manifest (distribution-spec end-12).
struct Referrers {
  virtual ~Referrers() = default;
  virtual rt::Task<Result<std::vector<oci::Descriptor>>> referrers(rt::Op& op, oci::Digest subject,
                                                                   std::string artifact_type) = 0;
};

// Reads a small blob (config, manifest, template) whole, at most `limit` bytes, and verifies size
// and digest.
rt::Task<Result<std::string>> read_small(rt::Op& op, Fetcher& from, oci::Descriptor blob,
                                         std::uint64_t limit);

// A Fetcher over bytes in hand, for putting what was just made.
class BytesFetcher : public Fetcher {
 public:
  explicit BytesFetcher(std::string bytes) : bytes_(std::move(bytes)) {}
  rt::Task<Result<Source>> fetch(rt::Op& op, oci::Descriptor blob, ByteRange range) override;

 private:
  std::string bytes_;
};

}  // namespace berth::content
