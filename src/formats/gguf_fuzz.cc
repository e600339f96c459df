// Any bytes end in a value or an error, never in a crash, a hang or an unbounded allocation.
#include "formats/estimate.h"
#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::formats;
  const MemoryAccess bytes({reinterpret_cast<const char*>(data), size});
  const auto gguf = read_gguf(bytes);
  if (!gguf) return 0;
  gguf_strings(*gguf);
  if (const auto profile = memory_profile({*gguf})) {
    static_cast<void>(estimate_memory(*profile, {.gpu_layers = 99}));
  }
  return 0;
}
