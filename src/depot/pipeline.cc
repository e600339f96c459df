#include "depot/pipeline.h"

#include <boost/asio/post.hpp>

namespace berth::depot {

Pipeline::Pipeline(rt::Loop& loop, Step write, Step hash, Written written)
    : loop_(loop),
      changed_(loop),
      writer_{.step = std::move(write), .tell = std::move(written)},
      hasher_{.step = std::move(hash), .tell = [](std::uint64_t) {}} {}

rt::Task<Status> Pipeline::run(rt::Op& op, rt::Reader& reader, std::uint64_t offset) {
  rt::Scope workers(loop_);
  workers.spawn(work(writer_));
  workers.spawn(work(hasher_));
  const Status read_all = co_await read(op, reader, offset);
  ended_ = true;
  changed_.notify_all();
  (void)co_await workers.join();
  co_return failed_ ? read_all : failed_;
}

// Not before half of the memory is free: the loop and the pool wake each other less often.
rt::Task<void> Pipeline::wait_for_room() {
  rt::Op unhurried;  // what waits for the disk only
  while (failed_ && held() == kPieces) {
    full_ = true;
    if (held() == kPieces) (void)co_await changed_.wait(unhurried);
  }
  full_ = false;
}

rt::Task<Status> Pipeline::read(rt::Op& op, rt::Reader& reader, std::uint64_t offset) {
  for (bool more = true; more && failed_;) {
    co_await wait_for_room();
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
    } while (more && into.size < kPiece && !(into.size >= kWorthIt && held() == 0));
    offset += into.size;
    if (into.size > 0) {
      ++filled_;
      changed_.notify_all();
    }
    if (!received) co_return received;
  }
  co_return Status();
}

rt::Task<bool> Pipeline::next(const Worker& worker) {
  rt::Op unhurried;
  while (failed_ && worker.done == filled_ && !ended_) (void)co_await changed_.wait(unhurried);
  co_return failed_&& worker.done < filled_;
}

rt::Task<Status> Pipeline::work(Worker& worker) {
  while (co_await next(worker)) {
    const std::uint64_t before = worker.done;
    const Status done = co_await rt::blocking(loop_, [this, &worker] { return turn(worker); });
    if (worker.done > before) worker.tell(worker.end);
    if (!done && failed_) failed_ = done;
    broken_ = !failed_.has_value();
    changed_.notify_all();
  }
  co_return Status();
}

Status Pipeline::turn(Worker& worker) {
  for (int count = 0; count < kTurn && worker.done < filled_ && !broken_; ++count) {
    const Piece& from = piece(worker.done);
    const std::uint64_t end = from.offset + from.size;
    TRY_OK(worker.step(from.offset, from.bytes()));
    worker.end = end;
    ++worker.done;  // from here on the piece is the reader's
    if (full_ && held() <= kPieces / 2 && full_.exchange(false)) {
      // Runs before what resumes work(), so while there is a pipeline.
      boost::asio::post(loop_.context(), [this] { changed_.notify_all(); });
    }
  }
  return {};
}

}  // namespace berth::depot
