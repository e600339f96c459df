// Any text as a path and as the two range headers.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "oci/reference.h"
#include "registryd/place.h"
#include "registryd/range.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto place = berth::registryd::parse_place(text);
  if (place && *place && !(*place)->repository.empty())
    BERTH_ASSERT(berth::oci::is_repository((*place)->repository));
  const auto range = berth::registryd::parse_range(text, size);
  BERTH_ASSERT(range.span.end <= size && range.span.begin <= range.span.end);
  const auto chunk = berth::registryd::parse_chunk_range(text);
  BERTH_ASSERT(!chunk || chunk->begin < chunk->end);
  return 0;
}
