// One call of a docker-credential-NAME program. Loop thread. Bounded in time and output, killed
// when the Op is cancelled; its stderr is not shown and its secrets are never in a message.
// Failure: kInvalid (a name that is no name), kUnavailable (missing, failed), kTimeout, kCancelled.
// Source: docker-credential-helpers protocol; facts/oci.md A7.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/error.h"
#include "process/child.h"
#include "remote/credentials.h"

namespace berth::remote {

// Long enough for a passphrase prompt of gpg behind `pass`.
inline constexpr std::chrono::seconds kHelperTimeout{60};
inline constexpr std::size_t kMaxHelperOutput = 64 * 1024;

class CredentialHelper {
 public:
  // kInvalid unless the name is [A-Za-z0-9_.-]+; kUnavailable when it is not on `path` (the syntax
  // of PATH). Blocking.
  static Result<CredentialHelper> find(const std::string& name, const std::string& path,
                                       std::chrono::milliseconds timeout = kHelperTimeout);

  // nullopt: the helper knows no such server.
  rt::Task<Result<std::optional<Credential>>> get(rt::Op& op, rt::Loop& loop,
                                                  std::string server) const;
  rt::Task<Status> store(rt::Op& op, rt::Loop& loop, std::string server,
                         Credential credential) const;
  rt::Task<Result<bool>> erase(rt::Op& op, rt::Loop& loop,
                               std::string server) const;  // false: it knew none

 private:
  CredentialHelper(std::string program, std::string name, std::chrono::milliseconds timeout)
      : program_(std::move(program)), name_(std::move(name)), timeout_(timeout) {}
  rt::Task<Result<process::Finished>> call(rt::Op& op, rt::Loop& loop, std::string verb,
                                           std::string input) const;
  std::unexpected<Error> refused(std::string_view verb, const process::Finished& finished) const;

  std::string program_;  // absolute
  std::string name_;     // docker-credential-NAME
  std::chrono::milliseconds timeout_;
};

}  // namespace berth::remote
