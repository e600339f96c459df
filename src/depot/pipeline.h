// Takes in a stream of bytes: reads, writes and hashes go side by side, each in order, over a few
// pieces of memory. What costs most (the hash) is never waited for by the other two for longer than
// that.
//
// Loop thread; writes and hashes are on the pool. Not given up half-way: when run() returns nothing
// of it is at work any more, and what arrived before a failure of the stream is written.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>

#include "base/text.h"
#include "rt/async.h"
#include "rt/reader.h"

namespace berth::depot {

class Pipeline {
 public:
  // Called on the pool, one at a time and in order; Write and Hash at once with each other.
  using Step = std::function<Status(std::uint64_t offset, Bytes bytes)>;
  // On the loop, when bytes up to `end` are written.
  using Written = std::function<void(std::uint64_t end)>;

  Pipeline(rt::Loop& loop, Step write, Step hash, Written written);

  // Reads to the end. `offset` is where the first byte belongs. A failure of the disk before one of
  // the stream.
  rt::Task<Status> run(rt::Op& op, rt::Reader& reader, std::uint64_t offset);

 private:
  static constexpr std::size_t kPiece = 1024 * 1024;
  static constexpr std::size_t kPieces = 2;
  // Less than this is not worth a write of its own while more is coming.
  static constexpr std::size_t kWorthIt = 64 * 1024;
  // So many pieces go without the loop between them, which may be reading; then others have the
  // thread.
  static constexpr int kTurn = 16;

  struct Piece {
    std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(kPiece);
    std::uint64_t offset = 0;
    std::size_t size = 0;
    Bytes bytes() const { return {memory.get(), size}; }
  };
  // Takes the pieces in order, on the pool.
  struct Worker {
    Step step;
    Written tell;
    std::atomic<std::uint64_t> done = 0;  // pieces since the beginning
    std::uint64_t end = 0;                // of the last of them
  };
  Piece& piece(std::uint64_t number) { return pieces_[number % kPieces]; }

  rt::Task<Status> read(rt::Op& op, rt::Reader& reader, std::uint64_t offset);
  rt::Task<void> wait_for_room();
  rt::Task<Status> work(Worker& worker);
  Status turn(Worker& worker);
  rt::Task<bool> next(const Worker& worker);  // false at the end
  std::uint64_t held() const {
    return filled_ - std::min(writer_.done.load(), hasher_.done.load());
  }

  rt::Loop& loop_;
  rt::Event changed_;
  Worker writer_;
  Worker hasher_;
  std::array<Piece, kPieces> pieces_;
  std::atomic<std::uint64_t> filled_ = 0;  // pieces since the beginning
  std::atomic<bool> full_ = false;         // read() waits for room
  std::atomic<bool> broken_ = false;       // is failed_ set, for the pool
  bool ended_ = false;
  Status failed_;
};

}  // namespace berth::depot
