// Networks in CIDR notation, for who may call. Pure.
#pragma once

#include <array>
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

}  // namespace berth::http
