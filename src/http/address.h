// Address policy: which network addresses an outgoing request may reach. Pure functions, any
// thread.
//
// A name that a stranger chose (a token realm, a redirect, a URL in a manifest) must not lead into
// the machine or its network (facts/security.md B.9 point 9). Client judges every address that it
// is about to connect to, at every hop. Behind a proxy only literal addresses can be judged: the
// proxy resolves the names. Sources: RFC 6890, 6598, 6052, 4193.
#pragma once

#include <optional>
#include <string_view>

#include "base/error.h"

struct sockaddr;

namespace berth::http {

enum class AddressKind {
  kPublic,
  kLoopback,   // 127.0.0.0/8, ::1
  kPrivate,    // RFC 1918, 100.64.0.0/10, fc00::/7, fec0::/10, 64:ff9b:1::/48
  kLinkLocal,  // 169.254.0.0/16 (cloud metadata), fe80::/10
  kSpecial,  // 0.0.0.0/8, ::, multicast, documentation, benchmarking, reserved: never a destination
};

std::string_view to_string(AddressKind kind);

// An IPv4 (strict dotted quad) or IPv6 literal without brackets, zone allowed; nullopt when it is
// neither. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) is judged as the IPv4 address
// that it leads to.
std::optional<AddressKind> classify(std::string_view literal);
std::optional<AddressKind> classify(const sockaddr& address);  // AF_INET and AF_INET6

struct AddressPolicy {
  bool loopback = false;
  bool private_network = false;
  bool link_local = false;

  static AddressPolicy public_only() { return {}; }
  // For a host that the user named: wherever it is, it was meant.
  static AddressPolicy anywhere() {
    return {.loopback = true, .private_network = true, .link_local = true};
  }
  bool allows(AddressKind kind) const;
  // kDenied naming `host` and what kind of address it leads to.
  Status check(AddressKind kind, std::string_view host) const;
};

}  // namespace berth::http
