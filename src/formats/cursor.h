// Reads little-endian numbers and bounded strings one after another through a buffer. Internal to
// formats.
//
// Failure: kCorrupt "the file ends inside <what>", kTooLarge past the header bound.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/random_access.h"

namespace berth::formats {

static_assert(std::endian::native == std::endian::little,
              "values are copied from the file as they are");

class Cursor {
 public:
  // Reading stops with kTooLarge after `limit` bytes, however long the source is.
  Cursor(const RandomAccess& source, std::uint64_t limit) : source_(&source), limit_(limit) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return source_->size() - position_; }

  template <class T>
    requires std::integral<T> || std::floating_point<T>
  Result<T> number(std::string_view what) {
    T value;
    TRY_OK(bytes(std::as_writable_bytes(std::span(&value, 1)), what));
    return value;
  }
  // `length` has been checked by nobody: it is compared with what remains before anything is
  // allocated.
  Result<std::string> text(std::uint64_t length, std::string_view what);
  Status skip(std::uint64_t length, std::string_view what);
  // Strings with a 64-bit length in front, a vocabulary of a hundred thousand as fast as its bytes
  // come.
  Status skip_strings(std::uint64_t count, std::string_view what);

 private:
  Status bytes(MutableBytes into, std::string_view what);
  Status check(std::uint64_t length, std::string_view what) const;
  Status fill();

  const RandomAccess* source_;
  std::uint64_t limit_;
  std::uint64_t position_ = 0;
  std::vector<std::byte> buffer_;  // what lies at buffer_start_
  std::uint64_t buffer_start_ = 0;
};

}  // namespace berth::formats
