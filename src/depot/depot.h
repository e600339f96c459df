// The storage of a registry as its HTTP side sees it: repositories that share blobs, upload
// sessions, manifests, tags, referrers. The seam for storage drivers (docs/decisions/010).
//
// Loop thread. Names and tags are valid by oci/reference.h before they come here. What was
// acknowledged is durable; what can be seen was verified. Absence is a nullopt or false. Failures
// besides those of the Op: kDigestMismatch, kBadRange (an upload is elsewhere), kExhausted (disk or
// quota), kTooLarge, kConflict, kCorrupt. Source: distribution-spec 1.1 and its main branch of
// 2026-07.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "content/content.h"
#include "oci/manifest.h"
#include "rt/op.h"
#include "rt/reader.h"
#include "rt/task.h"

namespace berth::depot {

// A blob that is on its way here.
struct Arriving {
  virtual ~Arriving() = default;
  virtual const oci::Descriptor& blob() const = 0;
  // Until there is something to read; a failure when nothing will come.
  virtual rt::Task<Status> begun(rt::Op& op) = 0;
  // Each byte as soon as it is here, but the blob's last ones only when the digest was right: a
  // reader that fails has not given a whole blob.
  virtual std::unique_ptr<rt::Reader> read(std::uint64_t offset, std::uint64_t length) = 0;
  // It does not come: whoever reads gets this.
  virtual void give_up(Error why) = 0;
};

// A blob as a local file, whole, or one that is still arriving. (A driver for object storage will
// hand out a URL instead.)
struct OpenBlob {
  UniqueFd file;
  std::uint64_t size = 0;
  std::shared_ptr<Arriving> arriving = nullptr;  // then there is no file
};

struct Blobs {
  virtual ~Blobs() = default;
  // The size; a nullopt also when only another repository has it.
  virtual rt::Task<Result<std::optional<std::uint64_t>>> find_blob(rt::Op& op,
                                                                   std::string repository,
                                                                   oci::Digest digest) = 0;
  virtual rt::Task<Result<std::optional<OpenBlob>>> open_blob(rt::Op& op, std::string repository,
                                                              oci::Digest digest) = 0;
  // Shows a blob of another repository here as well; from any when `from` is empty. False when it
  // is not there.
  virtual rt::Task<Result<bool>> mount(rt::Op& op, std::string repository, oci::Digest digest,
                                       std::string from) = 0;
  // From this repository only; the collector frees it when nobody has it.
  virtual rt::Task<Result<bool>> remove_blob(rt::Op& op, std::string repository,
                                             oci::Digest digest) = 0;
};

// An upload is a blob that comes in pieces, in order; its digest is not known before the end. It
// survives a restart of the server.
struct Uploads {
  virtual ~Uploads() = default;
  // Its id, one path segment: a UUID and a seal that binds it to the repository.
  virtual rt::Task<Result<std::string>> begin(rt::Op& op, std::string repository) = 0;
  // Bytes so far; nullopt when there is no such upload (any more).
  virtual rt::Task<Result<std::optional<std::uint64_t>>> held(rt::Op& op, std::string repository,
                                                              std::string id) = 0;
  // Takes the body to its end and returns what is held then. With `from`: kBadRange, and nothing
  // read, unless the upload is there. What arrived before a failure of the body is kept. Whoever
  // still writes to this upload is cut off first: the newest connection is the one that lives.
  virtual rt::Task<Result<std::uint64_t>> append(rt::Op& op, std::string repository, std::string id,
                                                 std::optional<std::uint64_t> from,
                                                 rt::Reader& body) = 0;
  // Makes it a blob. kDigestMismatch ends the upload.
  virtual rt::Task<Status> finish(rt::Op& op, std::string repository, std::string id,
                                  oci::Digest digest) = 0;
  virtual rt::Task<Result<bool>> cancel(rt::Op& op, std::string repository, std::string id) = 0;
};

// Blobs that the registry fetches itself; for a mirror.
struct Intake {
  virtual ~Intake() = default;
  // The size by a manifest of this repository that names the blob; nullopt when none does.
  virtual rt::Task<Result<std::optional<std::uint64_t>>> named_size(rt::Op& op,
                                                                    std::string repository,
                                                                    oci::Digest digest) = 0;
  virtual std::shared_ptr<Arriving> announce(oci::Descriptor blob) = 0;
  // Fetches what was announced, once at a time for a digest, and shows it in the repository. Goes
  // on where an earlier try was; kDigestMismatch leaves nothing behind.
  virtual rt::Task<Status> take_in(rt::Op& op, std::string repository,
                                   std::shared_ptr<Arriving> announced, content::Fetcher& from,
                                   content::Progress& progress) = 0;
};

// A manifest as it was pushed.
struct StoredManifest {
  oci::Digest digest = oci::Digest::of({});
  std::string media_type;
  std::string bytes;
};

// What the HTTP side read in a manifest that is pushed.
struct PushedManifest {
  StoredManifest manifest;
  std::vector<std::string> tags;
  std::vector<oci::Descriptor> children;  // blobs and manifests that it names; not the subject
  std::optional<oci::Digest> subject;
  std::string artifact_type;  // as referrers tell it
  std::string referrer;       // its descriptor in a referrers list, JSON
  std::string actor;          // who moves the tags
  bool looked_at = false;     // it is no model, so nobody has to look at it
};

// A repository's manifests; tags stand for them.
struct Manifests {
  virtual ~Manifests() = default;
  // The digest a tag stands for.
  virtual rt::Task<Result<std::optional<oci::Digest>>> resolve(rt::Op& op, std::string repository,
                                                               std::string tag) = 0;
  virtual rt::Task<Result<std::shared_ptr<const StoredManifest>>> find_manifest(
      rt::Op& op, std::string repository, oci::Digest digest) = 0;  // nullptr: absent
  // Children of it that this repository lacks are returned: it is stored all the same.
  virtual rt::Task<Result<std::vector<oci::Digest>>> put_manifest(rt::Op& op,
                                                                  std::string repository,
                                                                  PushedManifest pushed) = 0;
  // With the tags that stand for it.
  virtual rt::Task<Result<bool>> remove_manifest(rt::Op& op, std::string repository,
                                                 oci::Digest digest, std::string actor) = 0;
  virtual rt::Task<Result<bool>> untag(rt::Op& op, std::string repository, std::string tag,
                                       std::string actor) = 0;
};

// Names behind `last`, in ASCII order, at most `limit`.
struct PageRequest {
  std::string last;
  std::size_t limit = 0;
};
struct Page {
  std::vector<std::string> names;
  bool more = false;
};

// A manifest that names a subject.
struct Referrer {
  std::string digest;
  std::string artifact_type;
  std::string descriptor;  // JSON
};

// A tag and what it stands for.
struct TagState {
  std::string tag;
  std::string digest;
  std::chrono::sys_seconds moved{};
};

// A tag that was set, moved or removed.
struct TagMove {
  std::int64_t id = 0;  // grows with time
  std::string tag;
  std::string before;  // digests; "" for none
  std::string after;
  std::chrono::sys_seconds at{};
  std::string actor;
};

// A tag as a person looks for it.
struct Tag {
  std::string name;
  std::string digest;
  std::uint64_t size = 0;  // of all that its manifest, and those of an index, say to need
  std::chrono::sys_seconds moved{};
};
struct TagList {
  std::vector<Tag> tags;
  std::size_t total = 0;
};

struct Lists {
  virtual ~Lists() = default;
  // nullopt: there is no such repository.
  virtual rt::Task<Result<std::optional<Page>>> tags(rt::Op& op, std::string repository,
                                                     PageRequest request) = 0;
  // Newest first, without the first `skip`. nullopt: there is no such repository.
  virtual rt::Task<Result<std::optional<TagList>>> tag_list(rt::Op& op, std::string repository,
                                                            std::size_t skip,
                                                            std::size_t limit) = 0;
  virtual rt::Task<Result<Page>> repositories(rt::Op& op, PageRequest request) = 0;
  // In the order of their digests; those behind `request.last`.
  virtual rt::Task<Result<std::vector<Referrer>>> referrers(rt::Op& op, std::string repository,
                                                            oci::Digest subject,
                                                            PageRequest request) = 0;
  // In the order of their names; those behind `request.last`.
  virtual rt::Task<Result<std::vector<TagState>>> tag_states(rt::Op& op, std::string repository,
                                                             PageRequest request) = 0;
  // Newest first: of a tag, or of all when it is empty; those older than the move `before`.
  virtual rt::Task<Result<std::vector<TagMove>>> history(rt::Op& op, std::string repository,
                                                         std::string tag, std::int64_t before,
                                                         std::size_t limit) = 0;
};
inline constexpr std::int64_t kNewestMove = INT64_MAX;

// What is known of a model; "" and 0 for what its files do not say.
struct ModelFacts {
  std::string name;
  std::string format;
  std::string architecture;
  std::string quantization;
  std::string license;
  std::uint64_t parameters = 0;
  std::uint64_t context_length = 0;
  std::uint64_t size = 0;             // of its layers
  std::vector<std::string> findings;  // what is wrong with it: printable sentences

  friend bool operator==(const ModelFacts&, const ModelFacts&) = default;
};
struct ModelRecord {
  std::string repository;
  std::string digest;
  std::vector<std::string> tags;
  std::chrono::sys_seconds pushed{};
  ModelFacts facts;
};

struct NumberRange {
  std::uint64_t least = 0;
  std::uint64_t most = INT64_MAX;
  bool contains(std::uint64_t value) const { return least <= value && value <= most; }
};
// Text is compared whatever its case; "" asks for nothing.
struct ModelQuery {
  std::vector<std::string> words;  // all of them in repository, tags, name or architecture
  std::string repository;
  std::string architecture;
  std::string quantization;
  std::string format;
  std::string license;
  NumberRange parameters;
  NumberRange context_length;
  NumberRange size;
  // Whether the caller may see a repository. Called on the pool.
  std::function<bool(std::string_view)> sees = [](std::string_view) { return true; };
  // Behind this one.
  std::string last_repository;
  std::string last_digest;
  std::size_t limit = 0;
};
struct ModelPage {
  std::vector<ModelRecord> models;
  bool more = false;
};

struct ManifestPlace {
  std::string repository;
  oci::Digest digest = oci::Digest::of({});
};

// Bytes of a repository, or of one manifest with what it names.
struct Usage {
  std::string name;  // the repository, or the digest
  std::vector<std::string> tags;
  std::uint64_t bytes = 0;
  std::uint64_t shared = 0;  // of these, what others need as well
};

// What is known of the models.
struct Models {
  virtual ~Models() = default;
  // Manifests that nobody has looked at since they were pushed.
  virtual rt::Task<Result<std::vector<ManifestPlace>>> not_looked_at(rt::Op& op,
                                                                     std::size_t limit) = 0;
  // nullopt: it is no model. Nothing when the manifest went in the meantime.
  virtual rt::Task<Status> keep(rt::Op& op, ManifestPlace place,
                                std::optional<ModelFacts> facts) = 0;
  // By repository and digest.
  virtual rt::Task<Result<ModelPage>> search(rt::Op& op, ModelQuery query) = 0;
  virtual rt::Task<Result<std::vector<Usage>>> usage_of(rt::Op& op,
                                                        std::vector<std::string> repositories) = 0;
  // Of the manifests of a repository, by digest; those behind `request.last`.
  virtual rt::Task<Result<std::vector<Usage>>> usage_in(rt::Op& op, std::string repository,
                                                        PageRequest request) = 0;
};

struct CollectOptions {
  std::chrono::seconds grace{std::chrono::hours(1)};
  bool dry_run = false;
};
struct Collected {
  std::uint64_t members = 0;  // blobs that a repository no longer shows
  std::uint64_t blobs = 0;    // files
  std::uint64_t bytes = 0;
};
// Frees what nobody needs.
struct Care {
  virtual ~Care() = default;
  virtual rt::Task<Result<Collected>> collect(rt::Op& op, CollectOptions options) = 0;
};

// One registry's storage; the parts live as long as whoever made it.
struct Depot {
  Blobs& blobs;
  Uploads& uploads;
  Manifests& manifests;
  Lists& lists;
  Models& models;
  Care& care;
};

}  // namespace berth::depot
