// Networks in CIDR notation, for who may call. Pure.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::http {

// A network in CIDR notation; IPv4 counts as its IPv6-mapped form. A bare address is a network of
// one.
class Network {
 public:
  static Result<Network> parse(std::string_view text);
  bool contains(std::string_view address) const;

 private:
  std::array<unsigned char, 16> address_{};
  unsigned prefix_ = 0;
};

// An IPv4 or IPv6 address in its usual form ("::ffff:192.0.2.1" is IPv4); nullopt: it is none.
std::optional<std::string> canonical_address(std::string_view text);

// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, since whoever has one
// has all of them. Anything else as it is.
std::string client_network(std::string_view address);

}  // namespace berth::http
