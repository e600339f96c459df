#include "depot/pipeline.h"

#include <algorithm>

namespace berth::depot {

Pipeline::Pipeline(rt::Loop& loop, Write write, Hash hash, Written written)
    : loop_(loop),
      write_(std::move(write)),
      hash_(std::move(hash)),
      tell_(std::move(written)),
      changed_(loop) {}

rt::Task<Status> Pipeline::run(rt::Op& op, rt::Reader& reader, std::uint64_t offset) {
  rt::Scope workers(loop_);
  workers.spawn(write_all());
  workers.spawn(hash_all());
  const Status read_all = co_await read(op, reader, offset);
  ended_ = true;
  changed_.notify_all();
  (void)co_await workers.join();
  co_return failed_ ? read_all : failed_;
}

rt::Task<Status> Pipeline::read(rt::Op& op, rt::Reader& reader, std::uint64_t offset) {
  rt::Op unhurried;  // what waits for the disk only
  for (bool more = true; more && failed_;) {
    while (failed_ && filled_ - std::min(written_, hashed_) == kPieces)
      (void)co_await changed_.wait(unhurried);
    if (!failed_) break;  // the pieces may still be read by the one that goes on
    Piece& into = piece(filled_);
    into.offset = offset;
    into.size = 0;
    Status received;
    do {
      const auto count =
          co_await reader.read(op, {into.memory.get() + into.size, kPiece - into.size});
      if (!count) received = std::unexpected(count.error());
      more = count && *count > 0;
      if (more) into.size += *count;
    } while (more && into.size < kPiece && !(into.size >= kWorthIt && idle()));
    offset += into.size;
    if (into.size > 0) {
      ++filled_;
      changed_.notify_all();
    }
    if (!received) co_return received;
  }
  co_return Status();
}

rt::Task<bool> Pipeline::next(std::uint64_t done) {
  rt::Op unhurried;
  while (failed_ && done == filled_ && !ended_) (void)co_await changed_.wait(unhurried);
  co_return failed_&& done < filled_;
}

rt::Task<Status> Pipeline::write_all() {
  while (co_await next(written_)) {
    const Piece& from = piece(written_);
    const Status done =
        co_await rt::blocking(loop_, [this, &from] { return write_(from.offset, from.bytes()); });
    if (done) {
      ++written_;
      tell_(from.offset + from.size);
    } else if (failed_) {
      failed_ = done;
    }
    changed_.notify_all();
  }
  co_return Status();
}

rt::Task<Status> Pipeline::hash_all() {
  while (co_await next(hashed_)) {
    const Piece& from = piece(hashed_);
    const Status done =
        co_await rt::blocking(loop_, [this, &from] { return hash_(from.offset, from.bytes()); });
    if (done) {
      ++hashed_;
    } else if (failed_) {
      failed_ = done;
    }
    changed_.notify_all();
  }
  co_return Status();
}

}  // namespace berth::depot
