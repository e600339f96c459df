#include "store/flow.h"

#include <array>
#include <memory>

#include "rt/async.h"

namespace berth::store {
namespace {

constexpr std::size_t kPiece = 1024 * 1024;

struct Piece {
  std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(kPiece);
  std::size_t size = 0;
  Bytes bytes() const { return {memory.get(), size}; }
};

class Flow {
 public:
  Flow(rt::Loop& loop, rt::Reader& from, fs::File* to, crypto::Hasher& hasher, FlowOptions options)
      : loop_(loop),
        from_(from),
        to_(to),
        hasher_(hasher),
        options_(std::move(options)),
        at_(options_.offset) {}

  Task<Result<std::uint64_t>> run(rt::Op& op) {
    rt::Scope work(loop_);
    for (std::size_t turn = 0;; turn ^= 1) {
      const Status filled = co_await fill(op, pieces_[turn]);
      const Status before = co_await work.join();
      if (!before) co_return std::unexpected(before.error());
      const Status taken = start(work, pieces_[turn]);
      if (filled && taken && pieces_[turn].size == kPiece) continue;
      const Status last = co_await work.join();
      if (!taken) co_return std::unexpected(taken.error());
      if (!last) co_return std::unexpected(last.error());
      if (!filled) co_return std::unexpected(filled.error());
      co_return at_;
    }
  }

 private:
  // A piece is full unless the stream ends or fails.
  Task<Status> fill(rt::Op& op, Piece& piece) {
    piece.size = 0;
    while (piece.size < kPiece) {
      CO_TRY(const std::size_t count,
             co_await from_.read(op, {piece.memory.get() + piece.size, kPiece - piece.size}));
      if (count == 0) break;
      piece.size += count;
      if (options_.on_bytes) options_.on_bytes(at_ + piece.size);
    }
    co_return Status();
  }

  Status start(rt::Scope& work, const Piece& piece) {
    if (piece.size == 0) return {};
    if (options_.end && at_ + piece.size > *options_.end) {
      return fail(Code::kDigestMismatch, "more came than the {} bytes that were announced",
                  *options_.end);
    }
    if (to_) work.spawn(write(at_, piece.bytes()));
    work.spawn(hash(piece.bytes()));
    at_ += piece.size;
    return {};
  }

  Task<Status> write(std::uint64_t offset, Bytes bytes) {
    co_return co_await rt::blocking(loop_, [this, offset, bytes]() -> Status {
      TRY_OK(to_->write_at(offset, bytes));
      to_->start_writeback(offset, bytes.size());
      return {};
    });
  }

  Task<Status> hash(Bytes bytes) {
    co_return co_await rt::blocking(loop_, [this, bytes]() -> Status {
      hasher_.update(bytes);
      return {};
    });
  }

  rt::Loop& loop_;
  rt::Reader& from_;
  fs::File* to_;
  crypto::Hasher& hasher_;
  FlowOptions options_;
  std::uint64_t at_;
  std::array<Piece, 2> pieces_;
};

}  // namespace

Task<Result<std::uint64_t>> flow(rt::Op& op, rt::Loop& loop, rt::Reader& from, fs::File* to,
                                 crypto::Hasher& hasher, FlowOptions options) {
  Flow flow(loop, from, to, hasher, std::move(options));
  co_return co_await flow.run(op);
}

}  // namespace berth::store
