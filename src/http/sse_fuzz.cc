// Any bytes as an event stream: how they are cut into reads changes nothing, and the limit holds.
#include "base/assert.h"
#include "http/sse.h"

namespace {

constexpr std::size_t kLimit = 256;

// Everything that a stream says, fed in pieces of `piece` bytes.
std::string all_events(std::string_view text, std::size_t piece) {
  berth::http::SseParser parser(kLimit);
  std::string seen;
  while (!text.empty()) {
    const std::string_view now = text.substr(0, piece);
    text.remove_prefix(now.size());
    const bool fits = parser.feed(now).has_value();
    while (const auto event = parser.next()) {
      BERTH_ASSERT(event->data.size() <= kLimit);
      seen += event->event + '\x1f' + event->data + '\x1f' + event->id + '\x1e';
    }
    if (!fits) return seen + "too large";
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  BERTH_ASSERT(all_events(text, 1) == all_events(text, 7));
  return 0;
}
