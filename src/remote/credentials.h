// Who the user is at a registry: docker's config.json with its credential helpers, and podman's
// auth.json.
//
// Precedence within a file: credHelpers[registry], credsStore, auths. Files are asked in order and
// the first that knows the registry wins. Only docker's config.json is ever written: atomically,
// 0600, unknown keys and the order of keys kept. Asynchronous, loop thread; files and helpers run
// on the pool. Failure: kInvalid (a file that is not what it should be), kUnavailable (a helper
// that fails), kIo…. Source: docker/cli configuration, docker-credential-helpers protocol,
// containers-auth.json(5).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/secret.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::remote {

struct Credential {
  std::string user;
  Secret password;
  Secret identity_token;  // an OAuth2 refresh token; instead of a password
  Secret registry_token;  // a bearer token, used as it is
};

struct Credentials {
  virtual ~Credentials() = default;
  // The credential for "docker.io", "host:5000"; `repository` lets podman's longer keys match.
  // nullopt: none, so ask anonymously.
  virtual rt::Task<Result<std::optional<Credential>>> find(rt::Op& op, std::string registry,
                                                           std::string repository) = 0;
};

// One credential whatever the registry: for `login`, which checks what the user typed, and for
// tests.
class FixedCredentials : public Credentials {
 public:
  explicit FixedCredentials(Credential credential) : credential_(std::move(credential)) {}
  rt::Task<Result<std::optional<Credential>>> find(rt::Op& op, std::string registry,
                                                   std::string repository) override;

 private:
  Credential credential_;
};

// Where credentials are looked for. Paths may be of files that do not exist.
struct CredentialFiles {
  std::vector<std::string> read;  // in order; holds `write`
  std::string write;              // docker's config.json
  std::string helper_path;        // PATH: where docker-credential-NAME is looked for

  // REGISTRY_AUTH_FILE, DOCKER_CONFIG or ~/.docker, ${XDG_RUNTIME_DIR}/containers,
  // ~/.config/containers.
  static CredentialFiles from_environment();
};

class CredentialStore : public Credentials {
 public:
  explicit CredentialStore(rt::Loop& loop,
                           CredentialFiles files = CredentialFiles::from_environment())
      : loop_(loop), files_(std::move(files)) {}

  rt::Task<Result<std::optional<Credential>>> find(rt::Op& op, std::string registry,
                                                   std::string repository) override;

  enum class Kept {
    kHelper,     // in the keychain of a helper
    kPlainFile,  // base64 in config.json: warn the user
  };
  struct Stored {
    Kept kept;
    std::string where;  // the helper's name or the file's path
  };
  rt::Task<Result<Stored>> store(rt::Op& op, std::string registry, Credential credential);
  // False when there was nothing to erase. Podman's files are left alone.
  rt::Task<Result<bool>> erase(rt::Op& op, std::string registry);

 private:
  rt::Loop& loop_;
  CredentialFiles files_;
};

}  // namespace berth::remote
