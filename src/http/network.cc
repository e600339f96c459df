#include "http/network.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <string>

#include "base/text.h"

namespace berth::http {
namespace {

struct Parsed {
  std::array<unsigned char, 16> bytes{};
  bool is_v4 = false;
};

std::optional<Parsed> parse_address(std::string_view text) {
  // What has more is none, and inet_pton() would read a NUL as the end.
  if (text.size() >= INET6_ADDRSTRLEN || text.contains('\0')) return std::nullopt;
  Parsed parsed;
  const std::string copy(text);
  unsigned char v4[4];
  if (::inet_pton(AF_INET, copy.c_str(), v4) == 1) {
    parsed.is_v4 = true;
    parsed.bytes[10] = parsed.bytes[11] = 0xff;
    std::memcpy(parsed.bytes.data() + 12, v4, 4);
    return parsed;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), parsed.bytes.data()) == 1) return parsed;
  return std::nullopt;
}

constexpr std::size_t kClientBytes = 8;  // of an IPv6 address: a /64

bool is_mapped(const Parsed& parsed) {
  return IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(parsed.bytes.data()));
}

std::string text_of(const Parsed& parsed) {
  char text[INET6_ADDRSTRLEN] = {};
  if (is_mapped(parsed)) {
    ::inet_ntop(AF_INET, parsed.bytes.data() + 12, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, parsed.bytes.data(), text, sizeof text);
  }
  return text;
}

}  // namespace

std::optional<std::string> canonical_address(std::string_view text) {
  const auto parsed = parse_address(text);
  return parsed ? std::optional(text_of(*parsed)) : std::nullopt;
}

std::string client_network(std::string_view address) {
  auto parsed = parse_address(address);
  if (!parsed) return std::string(address);
  if (is_mapped(*parsed)) return text_of(*parsed);
  std::fill(parsed->bytes.begin() + kClientBytes, parsed->bytes.end(), 0);
  return text_of(*parsed) + "/64";
}

Result<Network> Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  const unsigned offset = address && address->is_v4 ? 96 : 0;
  const auto prefix = slash == std::string_view::npos ? std::optional<std::uint64_t>(128 - offset)
                                                      : parse_u64(text.substr(slash + 1));
  if (!address || !prefix || *prefix > 128 - offset) {
    return fail(Code::kInvalid, "\"{}\" is not a network such as 10.0.0.0/8 or fd00::/8",
                printable(text, 80));
  }
  Network network;
  network.address_ = address->bytes;
  network.prefix_ = static_cast<unsigned>(*prefix) + offset;
  return network;
}

bool Network::contains(std::string_view address) const {
  const auto parsed = parse_address(address);
  if (!parsed) return false;
  const unsigned whole = prefix_ / 8;
  if (std::memcmp(parsed->bytes.data(), address_.data(), whole) != 0) return false;
  const unsigned rest = prefix_ % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<unsigned char>(0xff << (8 - rest));
  return (parsed->bytes[whole] & mask) == (address_[whole] & mask);
}

}  // namespace berth::http
