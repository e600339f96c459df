#include "http/network.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <string>

#include "base/text.h"

namespace berth::http {
namespace {

struct Parsed {
  std::array<unsigned char, 16> bytes{};
  bool is_v4 = false;
};

std::optional<Parsed> parse_address(std::string_view text) {
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

}  // namespace

std::string client_network(std::string_view address) {
  auto parsed = parse_address(address);
  if (!parsed) return std::string(address);
  auto& bytes = parsed->bytes;
  char text[INET6_ADDRSTRLEN] = {};
  if (IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(bytes.data()))) {
    ::inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
    return text;
  }
  std::fill(bytes.begin() + kClientBytes, bytes.end(), 0);
  ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  return std::string(text) + "/64";
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
