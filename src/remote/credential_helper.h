// One call of a docker-credential-NAME program. Blocking: pool only. Bounded in time and output;
// its stderr is not read, its secrets are never in a message. Failure: kInvalid (a name that is no
// name), kUnavailable (missing, failed, too slow). Source: docker-credential-helpers protocol;
// facts/oci.md A7.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/error.h"
#include "remote/credentials.h"

namespace berth::remote {

// Long enough for a passphrase prompt of gpg behind `pass`.
inline constexpr std::chrono::seconds kHelperTimeout{60};
inline constexpr std::size_t kMaxHelperOutput = 64 * 1024;

class CredentialHelper {
 public:
  // kInvalid unless the name is [A-Za-z0-9_.-]+; kUnavailable when it is not on `path` (the syntax
  // of PATH).
  static Result<CredentialHelper> find(const std::string& name, const std::string& path,
                                       std::chrono::milliseconds timeout = kHelperTimeout);

  // nullopt: the helper knows no such server.
  Result<std::optional<Credential>> get(const std::string& server) const;
  Status store(const std::string& server, const Credential& credential) const;
  Result<bool> erase(const std::string& server) const;  // false: it knew none

 private:
  struct Outcome {
    int exit_status = 0;
    std::string output;
  };
  CredentialHelper(std::string program, std::string name, std::chrono::milliseconds timeout)
      : program_(std::move(program)), name_(std::move(name)), timeout_(timeout) {}
  Result<Outcome> call(const char* verb, const std::string& input) const;
  std::unexpected<Error> refused(const char* verb, const Outcome& outcome) const;

  std::string program_;  // absolute
  std::string name_;     // docker-credential-NAME
  std::chrono::milliseconds timeout_;
};

}  // namespace berth::remote
