#include "store/receiver.h"

#include "base/failpoint.h"
#include "store/file_pass.h"

namespace berth::store {
namespace {

constexpr std::size_t kStep = 128 * 1024;
constexpr std::uint64_t kHashStep = 8 * 1024 * 1024;  // of one visit to the pool

}  // namespace

Receiver::Receiver(rt::Loop& loop, fs::File& file, Journal& journal, const oci::Descriptor& blob,
                   std::uint64_t unit_bytes, GrowingBlob* readers)
    : loop_(loop),
      file_(file),
      journal_(journal),
      blob_(blob),
      plan_(blob.size, unit_bytes),
      hasher_(blob.digest.algorithm()),
      moved_(loop),
      extents_(journal.held()),
      readers_(readers) {
  for (std::uint64_t unit = 0; unit < extents_.size(); ++unit) plan_.hold(unit, extents_[unit]);
}

Task<Result<oci::Digest>> Receiver::run(rt::Op& parent, content::Fetcher& from,
                                        content::Progress& progress) {
  rt::Op op(parent);
  rt::Scope scope(loop_);
  scope.cancel_on_failure(op);
  scope.spawn(fetch(op, from, progress));
  scope.spawn(hash_behind(op));
  scope.spawn(seal_along(op));
  if (readers_ != nullptr)
    readers_->when_wanted([this](std::uint64_t offset) { plan_.prefer(offset); });
  const Status done = co_await scope.join();
  if (readers_ != nullptr) readers_->when_wanted({});
  CO_TRY_OK(done);
  co_return oci::Digest::from_hash(blob_.digest.algorithm(), hasher_.finish());
}

Task<Status> Receiver::fetch(rt::Op& op, content::Fetcher& from, content::Progress& progress) {
  if (plan_.held() > 0) {
    progress.on({.kind = content::Event::Kind::kResumed, .blob = blob_, .current = plan_.held()});
  }
  const Status done = co_await content::download(op, loop_, from, blob_, plan_, *this, progress);
  fetched_ = done.has_value();
  moved_.notify_all();
  co_return done;
}

Task<Status> Receiver::write(rt::Op&, std::uint64_t offset, Bytes bytes) {
  const bool in_order = offset == hashed_ && !hashing_;
  hashing_ |= in_order;
  const Status kept = co_await rt::blocking(
      loop_, [this, offset, bytes, in_order] { return keep(offset, bytes, in_order); });
  if (in_order) {
    hashing_ = false;
    hashed_ += bytes.size();
  }
  CO_TRY_OK(kept);
  const std::uint64_t unit = offset / plan_.unit_bytes();
  extents_[unit] = offset + bytes.size() - unit * plan_.unit_bytes();
  if (readers_ != nullptr) readers_->landed(unit, extents_[unit]);
  unsealed_ += bytes.size();
  moved_.notify_all();
  co_return Status();
}

// Blocking. In steps that stay in the processor's cache between their write and their hash. One
// visit to the pool for both: waking two threads costs more than what they gain side by side.
Status Receiver::keep(std::uint64_t offset, Bytes bytes, bool in_order) {
  for (std::size_t at = 0; at < bytes.size(); at += kStep) {
    const Bytes step = bytes.subspan(at, std::min(kStep, bytes.size() - at));
    TRY_OK(file_.write_at(offset + at, step));
    if (in_order) hasher_.update(step);
  }
  file_.start_writeback(offset, bytes.size());
  BERTH_FAILPOINT("store.receive.before_journal");
  const std::uint64_t unit = offset / plan_.unit_bytes();
  return journal_.received(unit, offset + bytes.size() - unit * plan_.unit_bytes());
}

std::uint64_t Receiver::prefix() {
  while (prefix_unit_ < extents_.size() && extents_[prefix_unit_] == plan_.length(prefix_unit_))
    ++prefix_unit_;
  if (prefix_unit_ == extents_.size()) return blob_.size;
  return prefix_unit_ * plan_.unit_bytes() + extents_[prefix_unit_];
}

Task<Status> Receiver::hash_behind(rt::Op& op) {
  while (hashed_ < blob_.size) {
    if (hashing_ || prefix() <= hashed_) {
      CO_TRY_OK(co_await moved_.wait(op));
      continue;
    }
    const std::uint64_t end = std::min(prefix(), hashed_ + kHashStep);
    hashing_ = true;
    const Status done = co_await rt::blocking(
        loop_, [this, end] { return hash_range(file_, hashed_, end, hasher_); });
    hashing_ = false;
    CO_TRY_OK(done);
    CO_TRY_OK(op.check());
    hashed_ = end;
  }
  co_return Status();
}

// Syncs the data and then marks it, again and again while it arrives, so that a loss of power costs
// little. After a failed sync the file is given up: its descriptor would not tell a second time.
Task<Status> Receiver::seal_along(rt::Op& op) {
  while (!fetched_) {
    if (unsealed_ < plan_.unit_bytes()) {
      CO_TRY_OK(co_await moved_.wait(op));
      continue;
    }
    unsealed_ = 0;
    const Journal::Extents extents = extents_;
    CO_TRY_OK(co_await rt::blocking(loop_, [this, &extents]() -> Status {
      TRY_OK(file_.sync());
      BERTH_FAILPOINT("store.receive.before_seal");
      return journal_.seal(extents);
    }));
  }
  co_return Status();
}

}  // namespace berth::store
