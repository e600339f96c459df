#include "http/forwarded.h"

#include <algorithm>

#include "base/text.h"

namespace berth::http {
namespace {

// Some proxies add a port.
std::string_view without_port(std::string_view entry) {
  if (entry.starts_with('[')) return entry.substr(1, entry.find(']') - 1);
  const std::size_t colon = entry.find(':');
  return colon == entry.rfind(':') ? entry.substr(0, colon) : entry;
}

// The entries of all fields as if they were one, taken from the end.
class Entries {
 public:
  explicit Entries(const Headers& headers) : fields_(headers.get_all("X-Forwarded-For")) {}

  // nullopt: no more.
  std::optional<std::string_view> last() {
    if (fields_.empty()) return std::nullopt;
    std::string_view& field = fields_.back();
    const std::size_t comma = field.rfind(',');
    const std::string_view entry = field.substr(comma == std::string_view::npos ? 0 : comma + 1);
    if (comma == std::string_view::npos) {
      fields_.pop_back();
    } else {
      field = field.substr(0, comma);
    }
    return trim(entry);
  }

 private:
  std::vector<std::string_view> fields_;
};

}  // namespace

bool is_in(std::string_view address, std::span<const Network> networks) {
  return std::ranges::any_of(networks,
                             [&](const Network& network) { return network.contains(address); });
}

std::string client_address(const Request& request, std::span<const Network> proxies) {
  std::string address = canonical_address(request.peer).value_or(request.peer);
  Entries entries(request.headers);
  for (std::size_t hop = 0; hop < kForwardedHops && is_in(address, proxies); ++hop) {
    const auto entry = entries.last();
    auto next = entry ? canonical_address(without_port(*entry)) : std::nullopt;
    if (!next) break;
    address = std::move(*next);
  }
  return address;
}

}  // namespace berth::http
