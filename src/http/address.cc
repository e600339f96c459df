#include "http/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <span>
#include <string>

#include "base/text.h"

namespace berth::http {
namespace {

using V6 = std::array<std::uint8_t, 16>;

struct V4Block {
  std::uint32_t network;
  int bits;
  AddressKind kind;
};

constexpr std::uint32_t v4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// IANA's special-purpose registry (RFC 6890 and successors); first match wins.
constexpr std::array kV4Blocks = {
    V4Block{v4(0, 0, 0, 0), 8, AddressKind::kSpecial},
    V4Block{v4(127, 0, 0, 0), 8, AddressKind::kLoopback},
    V4Block{v4(10, 0, 0, 0), 8, AddressKind::kPrivate},
    V4Block{v4(172, 16, 0, 0), 12, AddressKind::kPrivate},
    V4Block{v4(192, 168, 0, 0), 16, AddressKind::kPrivate},
    V4Block{v4(100, 64, 0, 0), 10, AddressKind::kPrivate},
    V4Block{v4(169, 254, 0, 0), 16, AddressKind::kLinkLocal},
    V4Block{v4(192, 0, 0, 0), 24, AddressKind::kSpecial},
    V4Block{v4(192, 0, 2, 0), 24, AddressKind::kSpecial},
    V4Block{v4(192, 88, 99, 0), 24, AddressKind::kSpecial},
    V4Block{v4(198, 18, 0, 0), 15, AddressKind::kSpecial},
    V4Block{v4(198, 51, 100, 0), 24, AddressKind::kSpecial},
    V4Block{v4(203, 0, 113, 0), 24, AddressKind::kSpecial},
    V4Block{v4(224, 0, 0, 0), 3, AddressKind::kSpecial},  // multicast, reserved, broadcast
};

struct V6Block {
  V6 network;
  int bits;
  AddressKind kind;
};

constexpr std::array kV6Blocks = {
    V6Block{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, AddressKind::kPrivate},  // local NAT64
    V6Block{{0xfc}, 7, AddressKind::kPrivate},
    V6Block{{0xfe, 0x80}, 10, AddressKind::kLinkLocal},
    V6Block{{0xfe, 0xc0}, 10, AddressKind::kPrivate},
    V6Block{{0x20, 0x01, 0x0d, 0xb8}, 32, AddressKind::kSpecial},  // documentation
    V6Block{{0x20, 0x01, 0x00}, 23, AddressKind::kSpecial},        // Teredo, ORCHID, benchmarking
    V6Block{{0x3f, 0xff, 0x00}, 20, AddressKind::kSpecial},        // documentation
    V6Block{{0x20}, 3, AddressKind::kPublic},  // 2000::/3, all that is given out
};

// Where an IPv4 address hides in an IPv6 one: prefix, its bits, and the byte at which the address
// stands.
struct Embedded {
  V6 prefix;
  int bits;
  std::size_t at;
};
constexpr std::array kEmbedded = {
    Embedded{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12},  // ::ffff:a.b.c.d
    Embedded{{0x00, 0x64, 0xff, 0x9b}, 96, 12},                    // 64:ff9b::/96
    Embedded{{0x20, 0x02}, 16, 2},                                 // 6to4
};

AddressKind classify_v4(std::uint32_t address) {
  for (const V4Block& block : kV4Blocks) {
    if ((address ^ block.network) >> (32 - block.bits) == 0) return block.kind;
  }
  return AddressKind::kPublic;
}

bool in_network(const V6& address, const V6& network, int bits) {
  for (int i = 0; i < bits; i += 8) {
    const auto at = static_cast<std::size_t>(i / 8);
    const int drop = std::max(0, 8 - (bits - i));
    if ((address[at] ^ network[at]) >> drop != 0) return false;
  }
  return true;
}

AddressKind classify_v6(const V6& address) {
  for (const Embedded& form : kEmbedded) {
    if (!in_network(address, form.prefix, form.bits)) continue;
    const std::uint8_t* byte = address.data() + form.at;
    return classify_v4(v4(byte[0], byte[1], byte[2], byte[3]));
  }
  constexpr V6 kOne = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  if (address == kOne) return AddressKind::kLoopback;
  for (const V6Block& block : kV6Blocks) {
    if (in_network(address, block.network, block.bits)) return block.kind;
  }
  return AddressKind::kSpecial;
}

V6 bytes_of(const in6_addr& address) {
  V6 bytes{};
  std::memcpy(bytes.data(), &address, bytes.size());
  return bytes;
}

}  // namespace

std::string_view to_string(AddressKind kind) {
  constexpr std::array<std::string_view, 5> kNames = {"a public address", "this machine (loopback)",
                                                      "a private network", "a link-local address",
                                                      "a reserved address"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::optional<AddressKind> classify(std::string_view literal) {
  const std::string text(literal.substr(0, literal.find('%')));
  in_addr four{};
  if (literal == text && inet_pton(AF_INET, text.c_str(), &four) == 1) {
    return classify_v4(ntohl(four.s_addr));
  }
  in6_addr six{};
  if (inet_pton(AF_INET6, text.c_str(), &six) == 1) return classify_v6(bytes_of(six));
  return std::nullopt;
}

std::optional<AddressKind> classify(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    return classify_v4(ntohl(four.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address, sizeof six);
    return classify_v6(bytes_of(six.sin6_addr));
  }
  return std::nullopt;
}

bool AddressPolicy::allows(AddressKind kind) const {
  switch (kind) {
    case AddressKind::kPublic:
      return true;
    case AddressKind::kLoopback:
      return loopback;
    case AddressKind::kPrivate:
      return private_network;
    case AddressKind::kLinkLocal:
      return link_local;
    case AddressKind::kSpecial:
      return false;
  }
  return false;
}

Status AddressPolicy::check(AddressKind kind, std::string_view host) const {
  if (allows(kind)) return {};
  return fail(Code::kDenied, "{} leads to {}, where this request may not go", printable(host, 200),
              to_string(kind));
}

}  // namespace berth::http
