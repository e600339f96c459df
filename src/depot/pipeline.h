// Takes in a stream of bytes: reads, writes and hashes go side by side, each in order, over a few
// pieces of memory. What costs most (the hash) is never waited for by the other two for longer than
// that.
//
// Loop thread; writes and hashes are on the pool. Not given up half-way: when run() returns nothing
// of it is at work any more, and what arrived before a failure of the stream is written.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/text.h"
#include "rt/async.h"
#include "rt/reader.h"

namespace berth::depot {

class Pipeline {
 public:
  // Called on the pool, one at a time and in order; the two at once with each other.
  using Write = std::function<Status(std::uint64_t offset, Bytes bytes)>;
  using Hash = std::function<Status(std::uint64_t offset, Bytes bytes)>;
  // On the loop, when bytes up to `end` are written.
  using Written = std::function<void(std::uint64_t end)>;

  Pipeline(rt::Loop& loop, Write write, Hash hash, Written written);

  // Reads to the end. `offset` is where the first byte belongs. A failure of the disk before one of
  // the stream.
  rt::Task<Status> run(rt::Op& op, rt::Reader& reader, std::uint64_t offset);

 private:
  static constexpr std::size_t kPiece = 512 * 1024;
  static constexpr std::size_t kPieces = 3;
  // Less than this is not worth a write of its own while more is coming.
  static constexpr std::size_t kWorthIt = 64 * 1024;

  struct Piece {
    std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(kPiece);
    std::uint64_t offset = 0;
    std::size_t size = 0;
    Bytes bytes() const { return {memory.get(), size}; }
  };
  Piece& piece(std::uint64_t number) { return pieces_[number % kPieces]; }

  rt::Task<Status> read(rt::Op& op, rt::Reader& reader, std::uint64_t offset);
  rt::Task<Status> write_all();
  rt::Task<Status> hash_all();
  rt::Task<bool> next(std::uint64_t done);  // false at the end
  bool idle() const { return written_ == filled_ && hashed_ == filled_; }

  rt::Loop& loop_;
  Write write_;
  Hash hash_;
  Written tell_;
  rt::Event changed_;
  std::array<Piece, kPieces> pieces_;
  std::uint64_t filled_ = 0;  // pieces since the beginning
  std::uint64_t written_ = 0;
  std::uint64_t hashed_ = 0;
  bool ended_ = false;
  Status failed_;
};

}  // namespace berth::depot
