// Reads a tar from a stream, entry by entry, without blocking: libarchive pulls its input and so
// cannot wait on the loop. Internal to model.
//
// Loop thread. Reads ustar, pax (path, size) and GNU long names and sizes; nothing declared
// allocates. Failure: kCorrupt for what is not a tar or ends early, kTooLarge over a bound,
// kUnsupported for sparse entries. Source: POSIX.1-2017 pax, GNU tar.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "rt/reader.h"

namespace berth::model {

struct TarEntry {
  std::string name;  // as written there, not checked
  std::uint64_t size = 0;
  bool regular = false;
};

class TarReader {
 public:
  // `in` must outlive it.
  explicit TarReader(rt::Reader& in) : in_(in) {}

  // The next entry, whatever was left of the last one skipped; nullopt at the end.
  rt::Task<Result<std::optional<TarEntry>>> next(rt::Op& op);
  // Bytes of the current entry; 0 at its end.
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into);
  // The rest of the current entry, at most `limit` bytes.
  rt::Task<Result<std::string>> read_all(rt::Op& op, std::size_t limit);

 private:
  using Block = std::array<char, 512>;
  rt::Task<Result<bool>> read_block(rt::Op& op, Block& block);
  rt::Task<Status> skip_entry(rt::Op& op);
  rt::Task<Status> take_extension(rt::Op& op, char type);

  rt::Reader& in_;
  std::uint64_t left_ = 0;     // of the current entry
  std::uint64_t padding_ = 0;  // after it
  std::size_t entries_ = 0;
  // From extension headers, for the entry that follows.
  std::optional<std::string> next_name_;
  std::optional<std::uint64_t> next_size_;
};

// The 512 bytes (more for long names or sizes) that come before a regular file, or a folder when
// `size` is nullopt.
std::string tar_header(std::string_view name, std::optional<std::uint64_t> size);
std::uint64_t tar_padding(std::uint64_t size);

}  // namespace berth::model
