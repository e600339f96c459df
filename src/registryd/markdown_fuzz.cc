// Any bytes as a model card.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "registryd/markdown.h"
#include "registryd/markdown_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  BERTH_ASSERT(berth::registryd::is_safe_card(berth::registryd::render_markdown(text).string()));
  return 0;
}
