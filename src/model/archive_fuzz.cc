// Any bytes as an archive to import, into memory.
#include <algorithm>
#include <cstring>

#include "content/memory_target.h"
#include "model/archive.h"

namespace {

class Input : public berth::rt::Reader {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  berth::rt::Task<berth::Result<std::size_t>> read(berth::rt::Op&,
                                                   berth::MutableBytes into) override {
    const std::size_t count = std::min(into.size(), bytes_.size());
    std::memcpy(into.data(), bytes_.data(), count);
    bytes_.remove_prefix(count);
    co_return count;
  }

 private:
  std::string_view bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static berth::rt::Loop loop(1);
  berth::rt::Op op;
  berth::content::MemoryTarget to;
  berth::content::NoProgress progress;
  Input input({reinterpret_cast<const char*>(data), size});
  static_cast<void>(loop.run(berth::model::import_archive(op, loop, input, to, progress)));
  return 0;
}
