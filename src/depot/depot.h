// The storage of a registry as its HTTP side sees it: repositories that share blobs, upload
// sessions, manifests, tags, referrers. The seam for storage drivers (docs/decisions/010).
//
// Loop thread. Names and tags are valid by oci/reference.h before they come here. What was
// acknowledged is durable; what can be seen was verified. Absence is a nullopt or false. Failures
// besides those of the Op: kDigestMismatch, kBadRange (an upload is elsewhere), kExhausted (disk),
// kDenied (quota), kTooLarge, kConflict, kCorrupt, kIo (with retry_after: it is busy). Source:
// distribution-spec 1.1 and its main branch of 2026-07.
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

// An upload is a blob whose digest is not known before the end. It comes in order, by append(), or
// in pieces at their places, by put_piece(). It survives a restart of the server.
struct Uploads {
  virtual ~Uploads() = default;
  // Its id, one path segment: a UUID and a seal that binds it to the repository.
  virtual rt::Task<Result<std::string>> begin(rt::Op& op, std::string repository) = 0;
  // Bytes so far, of pieces those without a gap from the beginning; nullopt when there is no such
  // upload (any more).
  virtual rt::Task<Result<std::optional<std::uint64_t>>> held(rt::Op& op, std::string repository,
                                                              std::string id) = 0;
  // Before a body is read: kDenied when the repository may not hold a blob of so many bytes more.
  // append() ends at the same bound where nobody knows how long a body is.
  virtual rt::Task<Status> check_room(rt::Op& op, std::string repository, std::uint64_t bytes) = 0;
  // Takes the body to its end and returns what is held then. With `from`: kBadRange, and nothing
  // read, unless the upload is there. What arrived before a failure of the body is kept. Whoever
  // still writes to this upload is cut off first: the newest connection is the one that lives.
  virtual rt::Task<Result<std::uint64_t>> append(rt::Op& op, std::string repository, std::string id,
                                                 std::optional<std::uint64_t> from,
                                                 rt::Reader& body) = 0;
  // Takes a piece, beside others: the bytes from `begin` to `end`. A piece that does not come whole
  // is not held; one that comes again replaces the first, and whoever still writes to the same
  // bytes is cut off. An upload that was given a piece takes no append() any more (kConflict).
  virtual rt::Task<Status> put_piece(rt::Op& op, std::string repository, std::string id,
                                     std::uint64_t begin, std::uint64_t end, rt::Reader& body) = 0;
  // How many pieces are held; nullopt when there is no such upload.
  virtual rt::Task<Result<std::optional<std::size_t>>> pieces(rt::Op& op, std::string repository,
                                                              std::string id) = 0;
  // Makes it a blob. kDigestMismatch ends the upload; kBadRange, with which it lives, says that
  // pieces are missing.
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

// Who does something, and with which request: for the history of tags and for events.
struct Origin {
  std::string actor;
  std::string peer = {};
  std::string address = {};  // of the registry, as the request named it: "https://models.example"
  std::string method = {};
  std::string user_agent = {};
  std::string request = {};  // its id
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
  Origin origin;
  bool looked_at = false;  // it is no model, so nobody has to look at it
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
                                                 oci::Digest digest, Origin origin) = 0;
  virtual rt::Task<Result<bool>> untag(rt::Op& op, std::string repository, std::string tag,
                                       Origin origin) = 0;
  // Somebody is about to get it, by this tag or, when that is empty, by its digest.
  virtual rt::Task<Status> note_pull(rt::Op& op, std::string repository,
                                     std::shared_ptr<const StoredManifest> manifest,
                                     std::string tag, Origin origin) = 0;
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

// Another registry whose content this is, and since when it could not be asked.
struct Stale {
  std::string upstream;
  std::chrono::sys_seconds since;
};

struct Lists {
  virtual ~Lists() = default;
  // Whether the last answer to a question was given without the registry that knows: what a tag
  // stands for, the list of tags (""), what refers to a digest (its text).
  virtual std::optional<Stale> stale(const std::string& /*repository*/,
                                     const std::string& /*question*/) {
    return std::nullopt;
  }
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

// What retention rules take away, and why.
struct Pruned {
  std::string repository;
  std::string tag;     // "" for a manifest without one
  std::string digest;  // what the tag stood for, or the manifest
  std::string why;
};
struct PruneOptions {
  std::vector<std::string> rules;  // depot/retention.h; none: those of the registry
  bool dry_run = false;
  std::string actor;
};

// What is wrong with a stored blob or manifest, and what needs it.
struct Damage {
  enum class Kind {
    kDamaged,     // its bytes are not those of its digest: its file is moved aside
    kMissing,     // it has no file
    kUnreadable,  // the disk does not give it; its file stays where it is
  };
  struct Hurt {
    std::string repository;
    std::vector<std::string> tags;
  };
  std::string digest;
  std::uint64_t size = 0;
  Kind kind = Kind::kDamaged;
  std::vector<Hurt> hurts;  // of very many a part
};
std::string_view to_string(Damage::Kind kind);  // "damaged", "missing", "unreadable"

// A pass over what is stored, as far as it is.
struct Verification {
  std::uint64_t pass = 0;  // its number
  std::string repository;  // "" for all
  bool running = true;
  std::uint64_t blobs = 0;  // manifests are among them
  std::uint64_t bytes = 0;
  std::uint64_t checked = 0;
  std::uint64_t checked_bytes = 0;
  std::uint64_t damaged = 0;
  std::vector<Damage> damages;   // the first ones
  std::optional<Error> failure;  // why it ended early
};

// Frees what nobody needs, and looks whether the rest is what it was.
struct Care {
  virtual ~Care() = default;
  virtual rt::Task<Result<Collected>> collect(rt::Op& op, CollectOptions options) = 0;
  // Removes tags and manifests by rules; what they held is the collector's to free. kInvalid names
  // a rule that is none.
  virtual rt::Task<Result<std::vector<Pruned>>> prune(rt::Op& op, PruneOptions options) = 0;
  // Begins to read all that a repository shows ("" for everything), or joins who does that already;
  // the number of the pass. nullopt: there is no such repository. kRateLimited: enough passes run.
  virtual rt::Task<Result<std::optional<std::uint64_t>>> verify(rt::Op& op,
                                                                std::string repository) = 0;
  // How far a pass is, told when it has ended or `patience` is over. nullopt: it is not known (any
  // more).
  virtual rt::Task<Result<std::optional<Verification>>> verification(
      rt::Op& op, std::uint64_t pass, std::chrono::milliseconds patience) = 0;
};

// Something that happened. A push that tags has one for each tag.
struct Event {
  enum class Kind {
    kPush,    // a manifest came, with `tag` or without
    kMove,    // `tag` stood for `before` and stands for `digest` now
    kDelete,  // a manifest went, or `tag`
    kPull,
  };
  std::int64_t id = 0;  // grows with time
  std::chrono::sys_time<std::chrono::milliseconds> at{};
  Kind kind = Kind::kPush;
  std::string repository;
  std::string tag;
  std::string digest;
  std::string before;
  std::string media_type;
  std::uint64_t size = 0;
  Origin origin;
};
std::string_view to_string(Event::Kind kind);  // "push", "move", "delete", "pull"
Result<Event::Kind> parse_event_kind(std::string_view name);
struct Delivery {
  Event event;
  std::string endpoint;
  std::uint64_t attempts = 0;
  std::string fault;  // of the last attempt
};

// What happened and who is still to be told: a queue for each endpoint, in the order of the events.
struct Events {
  virtual ~Events() = default;
  // The first ones that the endpoint has not taken.
  virtual rt::Task<Result<std::vector<Delivery>>> due(rt::Op& op, std::string endpoint,
                                                      std::size_t limit) = 0;
  virtual rt::Task<Status> delivered(rt::Op& op, std::string endpoint,
                                     std::vector<std::int64_t> events) = 0;
  // An attempt was in vain; a dead letter is not tried again by itself.
  enum class Then { kAgain, kDead };
  virtual rt::Task<Status> failed(rt::Op& op, std::string endpoint,
                                  std::vector<std::int64_t> events, std::string fault,
                                  Then then) = 0;
  // Of all endpoints; those behind the event `last`.
  virtual rt::Task<Result<std::vector<Delivery>>> dead_letters(rt::Op& op, std::int64_t last,
                                                               std::size_t limit) = 0;
  // Puts the dead letters of an endpoint ("" for all) back into its queue; how many.
  virtual rt::Task<Result<std::uint64_t>> revive(rt::Op& op, std::string endpoint) = 0;
  // How many each endpoint has waiting, and dead.
  struct Backlog {
    std::string endpoint;
    std::uint64_t waiting = 0;
    std::uint64_t dead = 0;
  };
  virtual rt::Task<Result<std::vector<Backlog>>> backlog(rt::Op& op) = 0;
  // Called on the loop when something came into a queue.
  virtual void when_changed(std::function<void()> call) = 0;
};

// One registry's storage; the parts live as long as whoever made it.
struct Depot {
  Blobs& blobs;
  Uploads& uploads;
  Manifests& manifests;
  Lists& lists;
  Models& models;
  Care& care;
  Events& events;
};

}  // namespace berth::depot
