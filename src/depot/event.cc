#include <algorithm>
#include <array>

#include "base/text.h"
#include "depot/depot.h"

namespace berth::depot {
namespace {

constexpr std::array<std::string_view, 4> kKinds = {"push", "move", "delete", "pull"};

}  // namespace

std::string_view to_string(Event::Kind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

Result<Event::Kind> parse_event_kind(std::string_view name) {
  const auto found = std::ranges::find(kKinds, name);
  if (found != kKinds.end()) return static_cast<Event::Kind>(found - kKinds.begin());
  return fail(Code::kInvalid, "there is no event \"{}\"; there are push, move, delete and pull",
              printable(name, 40));
}

}  // namespace berth::depot
