// The state of one Repository, shared by the files that implement it. Loop thread.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "remote/registry_core.h"
#include "remote/upload.h"
#include "rt/async.h"

namespace berth::remote {

// The last manifests that were read or written, so that tagging and copying do not fetch them
// again.
class ManifestCache {
 public:
  const std::string* find(const oci::Digest& digest) const;
  void keep(const oci::Digest& digest, std::string bytes);

 private:
  std::deque<std::pair<oci::Digest, std::string>> kept_;
};

// "docker.io/ai/x:latest", "docker.io/ai/x@sha256:…".
std::string shown(const std::string& repository, const std::string& reference);

struct Page {
  http::Headers headers;
  std::string body;
  std::optional<http::Url> next;
};
// One page of a list, and the call for the next one: Link rel="next", on the registry only.
// Failure: the answer's.
rt::Task<Result<Page>> read_page(rt::Op& op, Endpoint& endpoint, Call call);

inline constexpr int kMaxPages = 1000;

struct ManifestBytes {
  oci::Descriptor descriptor;
  std::string bytes;
};

struct Repository::State {
  State(std::shared_ptr<RegistryCore> shared, std::string called)
      : core(std::move(shared)), name(std::move(called)), fallback_tag(core->loop(), 1) {}

  Endpoint& origin() { return core->origin(); }
  Throttles throttles(const Endpoint& endpoint) const;
  std::string full_name() const { return core->name() + "/" + name; }
  // A call to the registry itself with the given actions.
  Call call(std::string doing, std::string method, std::string path, std::string_view actions);

  // GET manifests/<reference>, verified against its digest and media type. `expected`: what must
  // come.
  rt::Task<Result<ManifestBytes>> get_manifest(rt::Op& op, std::string reference,
                                               std::optional<oci::Digest> expected,
                                               std::string doing);
  // The bytes of a known manifest, from the cache or the registry.
  rt::Task<Result<std::string>> manifest_bytes(rt::Op& op, oci::Descriptor wanted);
  rt::Task<Result<RegistryCore::Read>> read_blob(rt::Op& op, oci::Descriptor blob,
                                                 content::ByteRange range, std::string doing);
  rt::Task<Result<content::Source>> fetch_blob(rt::Op& op, oci::Descriptor blob,
                                               content::ByteRange range);
  rt::Task<Status> put_blob(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                            content::Progress& progress);
  // PUT manifests/<reference>; the answer's headers.
  rt::Task<Result<http::Headers>> put_manifest(rt::Op& op, std::string reference,
                                               oci::Descriptor manifest, std::string bytes,
                                               std::string doing);
  // Tells the Warnings of an answer, each once.
  void pass_on_warnings(const http::Headers& headers);
  rt::Task<Status> check_children(rt::Op& op, std::string media_type, std::string bytes,
                                  std::string doing);
  // `kind`: "/blobs/" or "/manifests/".
  rt::Task<Status> check_stored(rt::Op& op, std::string kind, oci::Descriptor what,
                                std::string doing);
  // After a manifest was put on a registry that did not say that it lists referrers itself: nothing
  // without a subject.
  rt::Task<Status> add_to_fallback_tag(rt::Op& op, oci::Descriptor manifest, std::string bytes);

  rt::Task<Result<std::vector<oci::Descriptor>>> referrers_by_api(rt::Op& op, oci::Digest subject,
                                                                  std::string artifact_type,
                                                                  std::string doing);
  rt::Task<Result<std::vector<oci::Descriptor>>> referrers_by_tag(rt::Op& op, oci::Digest subject,
                                                                  std::string doing);
  // The index behind a fallback tag; empty when there is none.
  rt::Task<Result<std::string>> fallback_index(rt::Op& op, std::string tag, std::string doing);
  rt::Task<Status> remove(rt::Op& op, std::string doing, std::string path);

  std::shared_ptr<RegistryCore> core;
  std::string name;
  Manner manner;
  std::shared_ptr<Throttle> own_throttle;
  ManifestCache manifests;
  std::set<std::string> told;          // warnings
  std::set<oci::Digest> acknowledged;  // blobs that were pushed
  std::set<oci::Digest> absent;  // asked for a moment ago and not there: put() need not ask again
  std::map<oci::Digest, UploadSession> sessions;  // opened by mounts that were not granted
  rt::Limiter fallback_tag;                       // its update is read, change, write
};

}  // namespace berth::remote
