// A registry as a place for content: OCI distribution-spec 1.1 over HTTP, and Docker's token flow.
//
// Loop thread. Registry is one host with its login state and what was learned about it; share one
// per host. Repository is a content::Target; it may outlive its Registry but not the Loop, the
// Credentials or what `send` uses. Nothing that a server says is trusted: bodies are bounded,
// manifests are verified over their raw bytes, credentials go to the registry's origin and its
// token server only, redirects are followed by hand, and places that a server names are refused in
// address ranges where the registry itself is not (facts/security.md B.9 point 9). Failures:
// kUnauthenticated and kDenied (401, 403, a refused place), kNotFound, kDigestMismatch, kCorrupt,
// kTooLarge, kRateLimited, kUnavailable, kTimeout, kCancelled, kBadRange, kNotAllowed,
// kUnsupported, kInvalid. Sources: distribution-spec 1.1.1; distribution's token and OAuth2
// documents; facts/oci.md A1-A9.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "content/content.h"
#include "http/client.h"
#include "http/message.h"
#include "remote/credentials.h"
#include "rt/loop.h"

namespace berth::remote {

class Throttle;
struct HostMemory;
struct UploadJournal;

// Sends one request, once, to a place that the policy allows: http::Client::handle_with, or a fake.
using Send =
    std::function<rt::Task<Result<http::Response>>(rt::Op&, http::Request, http::AddressPolicy)>;
Send send_with(http::Client& client);

// The host of a registry's API: Docker Hub's is not where its name says.
std::string api_host(const std::string& registry);

struct RetrySettings {
  int attempts = 5;  // of one request
  std::chrono::milliseconds first_delay{250};
  std::chrono::milliseconds longest_delay{5'000};
  // Sum of what one host may ask for with Retry-After; a longer one gives up and says so.
  std::chrono::seconds longest_retry_after{120};
  // Time, for tests. By default rt::sleep_for and the steady clock.
  std::function<rt::Task<Status>(rt::Op&, std::chrono::milliseconds)> sleep = {};
  std::function<rt::SteadyTime()> now = {};
};

// What the user said about one registry ([registry.host."NAME"]).
struct HostOptions {
  std::vector<std::string> mirrors;  // URLs, asked in this order with ?ns= before the registry
  bool plain_http = false;
  std::size_t connections = 0;   // for downloads, at most; 0: as everywhere
  std::uint64_t limit_rate = 0;  // bytes a second with it and its mirrors; 0: none
  std::vector<std::pair<std::string, Secret>> headers;  // with each request to it alone
};

struct RegistryOptions {
  Send send;
  Credentials* credentials = nullptr;  // anonymous without; outlives all that is made with it
  bool insecure = false;               // INSECURE_REGISTRY: without TLS whatever the host
  std::vector<std::string> plain_http_hosts;  // these without TLS, besides loopback and *.local
  // URLs that are asked first for content of docker.io (MODEL_RUNNER_REGISTRY_MIRRORS); a path is a
  // prefix of /v2.
  std::vector<std::string> mirrors;
  // "REGISTRY=HOST": a further host that the token server of a registry may be on
  // ("registry.corp=login.corp").
  std::vector<std::string> token_hosts;
  RetrySettings retry;
  std::uint64_t chunk_bytes = 16 * 1024 * 1024;  // of a chunked upload
  std::size_t connections = 16;                  // to one host, for downloads, at most
  std::map<std::string, HostOptions> hosts;      // by the registry's name
  std::shared_ptr<Throttle> throttle;            // of everything together
  std::chrono::milliseconds first_byte{30'000};  // of an answer, besides what hashing takes
  std::uint64_t max_manifest_bytes = oci::kManifestBytes;
  // Both outlive what is made with them; without, nothing is kept for later runs.
  HostMemory* memory = nullptr;
  UploadJournal* journal = nullptr;
  std::uint64_t journal_from = 1024 * 1024;  // smaller blobs are sent again whole
};

class RegistryCore;  // shared by a Registry and its Repositories

class Repository : public content::Target, public content::Mounter, public content::Referrers {
 public:
  Repository(std::shared_ptr<RegistryCore> core, std::string name);
  ~Repository() override;

  const std::string& name() const;  // "ai/smollm2"

  // How the calls that follow go: at most so fast, and who is told what a retry waits for and what
  // the registry warns of (each sentence once).
  struct Manner {
    std::uint64_t limit_rate = 0;  // bytes a second; 0: no limit
    std::function<void(const std::string&)> on_wait = {};
    std::function<void(const std::string&)> on_warning = {};
  };
  void set_manner(Manner manner);

  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override;
  rt::Task<Result<bool>> has(rt::Op& op, oci::Descriptor blob) override;
  // The size of a blob that nothing else tells of; nullopt when it is not there.
  rt::Task<Result<std::optional<std::uint64_t>>> blob_size(rt::Op& op, oci::Digest digest);
  rt::Task<Status> put(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                       content::Progress& progress) override;
  rt::Task<Result<oci::Descriptor>> resolve(rt::Op& op, oci::Reference reference) override;
  rt::Task<Status> tag(rt::Op& op, oci::Descriptor manifest, oci::Reference reference) override;
  rt::Task<Result<bool>> mount(rt::Op& op, oci::Descriptor blob,
                               std::string from_repository) override;
  rt::Task<Result<std::vector<oci::Descriptor>>> referrers(rt::Op& op, oci::Digest subject,
                                                           std::string artifact_type) override;

  rt::Task<Result<std::vector<std::string>>> list_tags(rt::Op& op);
  // A tag (the manifest stays) or a digest (its tags go too). kNotAllowed where the registry
  // forbids deletion.
  rt::Task<Status> delete_manifest(rt::Op& op, std::string tag_or_digest);
  rt::Task<Status> delete_blob(rt::Op& op, oci::Digest digest);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Registry {
 public:
  // "docker.io", "ghcr.io", "localhost:5000". kInvalid when it is no host.
  static Result<Registry> open(rt::Loop& loop, std::string_view registry, RegistryOptions options);

  // kInvalid when it is no repository name.
  Result<std::unique_ptr<Repository>> repository(std::string_view name) const;

  enum class Login {
    kAccepted,  // the registry asked for the credential and took it
    kNotAsked,  // it lets anyone in, so the credential is neither right nor wrong
  };
  // Whether the registry lets these credentials (RegistryOptions::credentials) in: GET /v2/.
  rt::Task<Result<Login>> check_login(rt::Op& op) const;

  // What only some registries have, below /v2/: the bodies of all pages, bounded. kNotFound where
  // there is none.
  struct Question {
    std::string doing;  // "cannot search localhost:5000"
    std::string method = "GET";
    std::string path;             // "_berth/search"
    std::string query = {};       // encoded
    std::string repository = {};  // the one it is about; "": the whole registry
  };
  rt::Task<Result<std::vector<std::string>>> ask(rt::Op& op, Question question) const;

 private:
  explicit Registry(std::shared_ptr<RegistryCore> core) : core_(std::move(core)) {}
  std::shared_ptr<RegistryCore> core_;
};

// The registries of one process, opened on first use and kept, so that a host is logged in to once.
class Registries {
 public:
  Registries(rt::Loop& loop, RegistryOptions options) : loop_(loop), options_(std::move(options)) {}
  Result<Registry> registry(const std::string& host);
  Result<std::unique_ptr<Repository>> repository(const oci::Reference& reference);

 private:
  rt::Loop& loop_;
  RegistryOptions options_;
  std::map<std::string, Registry> open_;
};

}  // namespace berth::remote
