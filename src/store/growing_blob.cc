#include "store/growing_blob.h"

#include <algorithm>
#include <fcntl.h>

namespace berth::store {
namespace {

constexpr std::uint64_t kEnough = 16 * 1024 * 1024;  // more is not looked for at once

}  // namespace

class GrowingBlob::BlobReader : public rt::Reader {
 public:
  BlobReader(std::shared_ptr<GrowingBlob> blob, std::uint64_t offset, std::uint64_t length)
      : blob_(std::move(blob)),
        at_(offset),
        end_(std::min(blob_->blob_.size, offset + length)),
        generation_(std::max(1u, blob_->generation_)) {}

  Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (at_ >= end_ || into.empty()) co_return 0;
    CO_TRY(const std::uint64_t there, co_await wait(op));
    const std::size_t most = std::min<std::uint64_t>({into.size(), there, end_ - at_});
    const std::shared_ptr<const fs::File> file = blob_->file_;
    CO_TRY(const std::size_t count, co_await rt::blocking(blob_->loop_, [this, &file, into, most] {
             return file->read_at(at_, into.first(most));
           }));
    CO_TRY_OK(check());  // the file may have been begun anew while it was read
    if (count == 0) co_return fail(Code::kCorrupt, "{} ended before byte {}", file->name(), end_);
    at_ += count;
    co_return count;
  }

 private:
  Status check() const {
    if (blob_->failure_) return std::unexpected(*blob_->failure_);
    if (blob_->generation_ <= generation_) return {};
    return fail(Code::kDigestMismatch, "what came so far of {} was wrong; ask again",
                blob_->blob_.digest.string());
  }

  Task<Result<std::uint64_t>> wait(rt::Op& op) {
    for (;;) {
      CO_TRY_OK(check());
      if (const std::uint64_t there = blob_->available(at_); there > 0) co_return there;
      if (blob_->wanted_) blob_->wanted_(at_);
      CO_TRY_OK(co_await blob_->changed_.wait(op));
    }
  }

  std::shared_ptr<GrowingBlob> blob_;
  std::uint64_t at_;
  std::uint64_t end_;
  unsigned generation_;
};

Status GrowingBlob::opened(const fs::File& file, Journal::Extents held, std::uint64_t unit_bytes) {
  UniqueFd copy(::fcntl(file.fd(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno(errno, fmt::format("cannot open {} again", file.name()));
  file_ = std::make_shared<const fs::File>(std::move(copy), file.name());
  held_ = std::move(held);
  unit_bytes_ = unit_bytes;
  ++generation_;
  changed_.notify_all();
  return {};
}

void GrowingBlob::landed(std::uint64_t unit, std::uint64_t held) {
  held_[unit] = held;
  changed_.notify_all();
}

void GrowingBlob::verified() {
  verified_ = true;
  changed_.notify_all();
}

void GrowingBlob::give_up(Error why) {
  if (verified_ || failure_) return;
  failure_ = std::move(why);
  changed_.notify_all();
}

std::uint64_t GrowingBlob::available(std::uint64_t offset) const {
  if (verified_) return blob_.size - std::min(blob_.size, offset);
  const std::uint64_t most = blob_.size - std::min(blob_.size, kHeldBack);
  std::uint64_t end = offset;
  while (end < most && end - offset < kEnough) {
    const std::uint64_t unit = end / unit_bytes_;
    if (unit >= held_.size()) break;
    const std::uint64_t reached = unit * unit_bytes_ + held_[unit];
    if (reached <= end) break;
    end = reached;
    if (end != (unit + 1) * unit_bytes_) break;
  }
  end = std::min(end, most);
  return end - std::min(end, offset);
}

Task<Status> GrowingBlob::begun(rt::Op& op) {
  for (;;) {
    if (failure_) co_return std::unexpected(*failure_);
    if (verified_) co_return Status();
    const bool any = std::ranges::any_of(held_, [](std::uint64_t held) { return held > 0; });
    if (any && blob_.size > kHeldBack) co_return Status();
    CO_TRY_OK(co_await changed_.wait(op));
  }
}

std::unique_ptr<rt::Reader> GrowingBlob::reader(std::uint64_t offset, std::uint64_t length) {
  return std::make_unique<BlobReader>(shared_from_this(), offset, length);
}

}  // namespace berth::store
