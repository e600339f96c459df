// Any bytes end in a value or an error. The same bytes are tried as the JSON files beside the
// weights.
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::formats;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(read_safetensors(MemoryAccess(text)));
  static_cast<void>(read_huggingface_config(text));
  static_cast<void>(read_safetensors_index(text));
  return 0;
}
