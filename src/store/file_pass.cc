#include "store/file_pass.h"

#include <algorithm>
#include <fcntl.h>
#include <memory>

#include "rt/async.h"

namespace berth::store {
namespace {

constexpr std::uint64_t kStep = 8 * 1024 * 1024;  // of one visit to the pool: cancelled between two
constexpr std::size_t kBuffer = 128 * 1024;       // stays in the second-level cache
constexpr std::uint64_t kAhead = 4 * kStep;

std::unexpected<Error> shrank(const fs::File& file) {
  return fail(Code::kConflict,
              "{} became shorter while it was read: try again when nothing writes to it",
              file.name());
}

// Reads [begin, end) through a small buffer.
template <class Use>
Status for_each_buffer(const fs::File& file, std::uint64_t begin, std::uint64_t end, Use use) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kBuffer);
  for (std::uint64_t at = begin; at < end;) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, end - at));
    TRY(const std::size_t count, file.read_at(at, {buffer.get(), most}));
    if (count == 0) return shrank(file);
    TRY_OK(use(at, Bytes(buffer.get(), count)));
    at += count;
  }
  return {};
}

Status copy_range(const fs::File& from, fs::File& to, std::uint64_t begin, std::uint64_t end) {
  (void)::posix_fadvise(from.fd(), static_cast<off_t>(end), kAhead, POSIX_FADV_WILLNEED);
  TRY_OK(for_each_buffer(from, begin, end,
                         [&](std::uint64_t at, Bytes bytes) { return to.write_at(at, bytes); }));
  to.start_writeback(begin, end - begin);
  return {};
}

// A copy with the hash running behind it.
class Copying {
 public:
  Copying(rt::Loop& loop, const fs::File& from, fs::File& to, std::uint64_t size,
          crypto::Hasher& hasher, OnBytes on_bytes)
      : loop_(loop),
        from_(from),
        to_(to),
        size_(size),
        hasher_(hasher),
        on_bytes_(std::move(on_bytes)),
        moved_(loop) {}

  Task<Status> run(rt::Op& parent) {
    rt::Op op(parent);
    rt::Scope scope(loop_);
    scope.cancel_on_failure(op);
    scope.spawn(copy(op));
    scope.spawn(hash(op));
    co_return co_await scope.join();
  }

 private:
  Task<Status> copy(rt::Op& op) {
    while (copied_ < size_) {
      CO_TRY_OK(op.check());
      const std::uint64_t end = std::min(copied_ + kStep, size_);
      CO_TRY_OK(co_await rt::blocking(
          loop_, [this, end] { return copy_range(from_, to_, copied_, end); }));
      copied_ = end;
      moved_.notify_all();
    }
    co_return Status();
  }

  Task<Status> hash(rt::Op& op) {
    for (std::uint64_t hashed = 0; hashed < size_;) {
      while (copied_ == hashed) CO_TRY_OK(co_await moved_.wait(op));
      const std::uint64_t end = std::min(hashed + kStep, copied_);
      CO_TRY_OK(co_await rt::blocking(
          loop_, [this, hashed, end] { return hash_range(to_, hashed, end, hasher_); }));
      hashed = end;
      if (on_bytes_) on_bytes_(hashed);
    }
    co_return Status();
  }

  rt::Loop& loop_;
  const fs::File& from_;
  fs::File& to_;
  std::uint64_t size_;
  crypto::Hasher& hasher_;
  OnBytes on_bytes_;
  rt::Event moved_;
  std::uint64_t copied_ = 0;
};

}  // namespace

Status hash_range(const fs::File& file, std::uint64_t begin, std::uint64_t end,
                  crypto::Hasher& hasher) {
  (void)::posix_fadvise(file.fd(), static_cast<off_t>(end), kAhead, POSIX_FADV_WILLNEED);
  return for_each_buffer(file, begin, end, [&](std::uint64_t, Bytes bytes) -> Status {
    hasher.update(bytes);
    return {};
  });
}

Task<Status> hash_file(rt::Op& op, rt::Loop& loop, const fs::File& file, std::uint64_t size,
                       crypto::Hasher& hasher, OnBytes on_bytes) {
  for (std::uint64_t at = 0; at < size;) {
    CO_TRY_OK(op.check());
    const std::uint64_t end = std::min(at + kStep, size);
    CO_TRY_OK(co_await rt::blocking(
        loop, [&file, &hasher, at, end] { return hash_range(file, at, end, hasher); }));
    at = end;
    if (on_bytes) on_bytes(at);
  }
  co_return Status();
}

Task<Status> copy_and_hash(rt::Op& op, rt::Loop& loop, const fs::File& from, fs::File& to,
                           std::uint64_t size, crypto::Hasher& hasher, OnBytes on_bytes) {
  Copying copying(loop, from, to, size, hasher, std::move(on_bytes));
  co_return co_await copying.run(op);
}

}  // namespace berth::store
