// The short-lived tokens that a registry gives to its own clients: JSON web tokens, signed with
// HMAC-SHA-256 by a key that only this registry has.
//
// Pure. Source: RFC 7519, the Docker registry token specification (facts/oci.md A6).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "guard/permissions.h"

namespace berth::guard {

struct Access {
  std::string repository;
  Actions actions;
};

struct RegistryToken {
  std::string subject;  // kAnonymous for nobody
  std::chrono::sys_seconds issued{};
  std::chrono::sys_seconds expires{};
  std::vector<Access> access;
  bool catalog = false;    // registry:catalog:*
  std::string credential;  // the id of the `berth token` it was given for; "" for none

  // What the token grants there.
  Actions of(std::string_view repository) const;
};

std::string sign(const RegistryToken& token, std::string_view service, std::string_view key);
// nullopt when it is not ours, not for this service or malformed. Expiry is the caller's to judge.
std::optional<RegistryToken> verify(std::string_view text, std::string_view service,
                                    std::string_view key);

// What a client asks for: "repository:team/x:pull,push", "registry:catalog:*". The words that
// clients know are fewer than ours: push is also move, * is everything. nullopt for other types.
struct Asked {
  bool catalog = false;
  Access access;
};
std::optional<Asked> parse_scope_request(std::string_view text);

}  // namespace berth::guard
