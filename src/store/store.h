// The local store: an OCI image layout with an SQLite catalogue, safe for several processes at
// once.
//
// Owned by main or a test; outlives every coroutine and Lease that uses it. Loop thread; disk,
// SQLite and hashing run on the pool. The format on disk, its locks and its recovery:
// docs/dev/store.md.
//
// Failures besides those of the Op: kDigestMismatch (bytes are not what their digest says; nothing
// is kept), kExhausted (disk full; nothing is kept), kDenied (read-only folder), kConflict (state
// forbids it), kCorrupt (damaged catalogue, changed link), kTimeout (another process holds the
// catalogue or a lock for too long), kUnsupported (made by a newer Berth, or the file system cannot
// lock).
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "content/content.h"
#include "oci/reference.h"
#include "rt/loop.h"
#include "store/finding.h"
#include "store/lease.h"
#include "store/records.h"

namespace berth::store {

class Catalog;
class Layout;

class Store : public content::Target {
 public:
  struct Options {
    std::string root;        // the layout's folder; made when absent
    bool read_only = false;  // never writes; implied where the folder is not writable
    oci::ReferenceDefaults defaults = {};
  };
  // Blocking. An existing store opens in about a millisecond; a lost catalogue is rebuilt here.
  static Result<std::unique_ptr<Store>> open(rt::Loop& loop, Options options);
  ~Store() override;

  // content::Target. A fetched blob is a file (Source::file) and a Reader of it. has() is true for
  // a manifest only when everything below it is here. put() joins no running transfer: it waits for
  // its lock, then finds the blob or goes on where the other stopped. An index may name manifests
  // that are not here. resolve() takes full references.
  Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                      content::ByteRange range) override;
  Task<Result<bool>> has(rt::Op& op, oci::Descriptor blob) override;
  Task<Status> put(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                   content::Progress& progress) override;
  Task<Result<oci::Descriptor>> resolve(rt::Op& op, oci::Reference reference) override;
  // A reference with a digest and no tag is kept as a name, too ("pulled by digest").
  Task<Status> tag(rt::Op& op, oci::Descriptor manifest, oci::Reference reference) override;

  // A model without some of its files. Both are has() and put() of a manifest of which these
  // children are not wanted: they may be missing, and what is here of them stays. What is missing
  // is remembered as left out until it comes; a tag may stand for such a manifest.
  Task<Result<bool>> has_without(rt::Op& op, oci::Descriptor manifest,
                                 std::set<oci::Digest> unwanted);
  Task<Status> put_without(rt::Op& op, oci::Descriptor manifest, content::Fetcher& from,
                           std::set<oci::Digest> unwanted);
  // What is left out of a manifest: empty when it is whole.
  Task<Result<std::set<oci::Digest>>> left_out(rt::Op& op, oci::Digest manifest);

  // Takes what is in hand: a manifest (checked like any other), a config, a template.
  Task<Result<oci::Descriptor>> put_bytes(rt::Op& op, std::string media_type, std::string bytes);
  // Takes a local file in one pass over its bytes. kConflict when it changes meanwhile.
  Task<Result<Adopted>> adopt(rt::Op& op, std::string path, Adoption mode,
                              content::Progress& progress);
  // Before each push, run and serve: kCorrupt, naming the original, when the blob is a link to a
  // file that has changed.
  Task<Status> check_linked(rt::Op& op, oci::Digest blob);
  // The same for everything that a manifest names.
  Task<Status> check_model(rt::Op& op, oci::Digest manifest);
  // The blob's file inside the store, for what must open it by name (an engine in its sandbox).
  // kNotFound.
  Task<Result<std::string>> path(rt::Op& op, oci::Digest blob);

  // Models.
  Task<Result<std::vector<Record>>> list(rt::Op& op);
  // An id or its prefix, a reference, or the last path component of a tag; kConflict names the
  // candidates.
  Task<Result<std::optional<Found>>> find(rt::Op& op, oci::ModelName name);
  // Which manifest of an index is the model; before the index is tagged. Without it: the first that
  // is here.
  Task<Status> set_selected(rt::Op& op, oci::Digest index, oci::Digest manifest);
  Task<Status> set_metadata(rt::Op& op, oci::Digest id, std::string metadata);
  // kNotFound when there is no such tag. The model stays.
  Task<Result<Untagged>> untag(rt::Op& op, oci::Reference reference);
  // Removes the model with all its tags, and what only it needed. Rules (force, running) are the
  // caller's.
  Task<Result<Freed>> remove(rt::Op& op, oci::Digest id);
  Task<Result<Freed>> prune(rt::Op& op, PruneOptions options);
  // Everything but what a lease protects.
  Task<Result<Freed>> purge(rt::Op& op);

  Task<Result<Lease>> lease(rt::Op& op, Lease::Kind kind, std::vector<oci::Digest> digests);
  // Whether a kRun lease of any process holds it.
  Task<Result<bool>> in_use(rt::Op& op, oci::Digest digest);

  // Small durable state of others, by namespace and key.
  Task<Result<std::optional<std::string>>> setting(rt::Op& op, std::string name_space,
                                                   std::string key);
  Task<Result<std::vector<std::pair<std::string, std::string>>>> settings(rt::Op& op,
                                                                          std::string name_space);
  Task<Status> set_setting(rt::Op& op, std::string name_space, std::string key, std::string value);
  Task<Status> erase_setting(rt::Op& op, std::string name_space, std::string key);

  // Catalogue against files; with read_data every byte. What is found is not a failure.
  Task<Result<CheckReport>> check(rt::Op& op, CheckOptions options, content::Progress& progress);
  // Takes the file of a blob that was found wrong out of view, so that put brings it again.
  Task<Status> set_aside(rt::Op& op, oci::Descriptor blob);
  // Mends what a check found and the folder itself can tell; index.json too.
  Task<Status> mend(rt::Op& op, std::vector<Finding> findings);

  Task<Result<Usage>> usage(rt::Op& op);
  // Rewrites index.json, the view for other tools; at the end of a command that changed tags.
  Task<Status> write_index(rt::Op& op);

  const std::string& root() const;
  bool read_only() const;

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::store
