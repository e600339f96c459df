// Bytes that can be read anywhere: what every format reader takes. A file, or memory in tests and
// fuzzers.
//
// Blocking: call from the pool. The object must outlive the call that reads it. Failure: whatever
// the file gives (kIo).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "fs/file.h"

namespace berth::formats {

class RandomAccess {
 public:
  virtual ~RandomAccess() = default;
  virtual std::uint64_t size() const = 0;
  // As many bytes as there are up to into.size(); short only at the end.
  virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes into) const = 0;
};

class MemoryAccess final : public RandomAccess {
 public:
  explicit MemoryAccess(std::string_view bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes into) const override {
    if (offset >= bytes_.size()) return 0;
    const std::size_t count = std::min<std::size_t>(into.size(), bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, count);
    return count;
  }

 private:
  std::string_view bytes_;
};

// A view of an open file, whose size is taken once.
class FileAccess final : public RandomAccess {
 public:
  static Result<FileAccess> open(const fs::File& file) {
    TRY(const fs::FileInfo info, file.info());
    return FileAccess(file, info.size);
  }
  std::uint64_t size() const override { return size_; }
  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes into) const override {
    return file_->read_at(offset, into);
  }

 private:
  FileAccess(const fs::File& file, std::uint64_t size) : file_(&file), size_(size) {}
  const fs::File* file_;
  std::uint64_t size_;
};

}  // namespace berth::formats
