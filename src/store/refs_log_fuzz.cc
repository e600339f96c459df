// Any text as a line of refs.log, as it is and with a checksum that fits. A move that is believed
// is written and read again as the same line.
#include "base/assert.h"
#include "crypto/hash.h"
#include "store/refs_log.h"

namespace {

using namespace berth;

constexpr std::size_t kChecksumLength = 16;

void check(std::string_view text) {
  const auto move = store::parse_move(text);
  if (!move) return;
  const std::string line = store::format_move(*move);
  const auto again = store::parse_move(std::string_view(line).substr(0, line.size() - 1));
  BERTH_ASSERT(again.has_value());
  BERTH_ASSERT(store::format_move(*again) == line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  const std::string hash = crypto::hash_hex(crypto::Algorithm::kSha256, as_bytes(text));
  check(fmt::format("{} {}", text, std::string_view(hash).substr(0, kChecksumLength)));
  return 0;
}
