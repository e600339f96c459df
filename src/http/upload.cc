#include "http/upload.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/uio.h>
#include <unistd.h>

#include "rt/async.h"

namespace berth::http {
namespace {

constexpr std::size_t kStage = 1024 * 1024;

std::optional<std::uint64_t> length_of(const Body& body) {
  if (const auto* text = std::get_if<std::string>(&body.content)) return text->size();
  if (const auto* range = std::get_if<FileRange>(&body.content)) return range->length;
  if (!std::get<std::unique_ptr<Reader>>(body.content)) return 0;
  return body.length;
}

}  // namespace

Upload::Upload(rt::Loop& loop, Body body)
    : loop_(loop), body_(std::move(body)), length_(length_of(body_)) {}

std::size_t Upload::counted(std::size_t n) {
  at_ += n;
  if (n == 0 || (length_ && at_ >= *length_)) ended_ = true;
  if (const auto* range = std::get_if<FileRange>(&body_.content); range && range->sent)
    range->sent(at_);
  return n;
}

std::optional<std::size_t> Upload::take(MutableBytes into) {
  if (length_) into = into.first(std::min<std::uint64_t>(into.size(), *length_ - at_));
  if (into.empty()) return counted(0);
  if (const auto* text = std::get_if<std::string>(&body_.content)) {
    std::memcpy(into.data(), text->data() + at_, into.size());
    return counted(into.size());
  }
  if (staged_begin_ < staged_end_) return take_staged(into);
  if (const auto* range = std::get_if<FileRange>(&body_.content)) return take_file(*range, into);
  if (source_ended_) return counted(0);
  wants_data_ = true;
  return std::nullopt;
}

std::optional<std::size_t> Upload::take_staged(MutableBytes into) {
  const std::size_t n = std::min(into.size(), staged_end_ - staged_begin_);
  std::memcpy(into.data(), staged_.data() + staged_begin_, n);
  staged_begin_ += n;
  return counted(n);
}

// What the page cache holds is taken here and now; the disk is waited for on the pool.
std::optional<std::size_t> Upload::take_file(const FileRange& range, MutableBytes into) {
  const iovec vector{.iov_base = into.data(), .iov_len = into.size()};
  const auto offset = static_cast<off_t>(range.offset + at_);
  const ssize_t n = ::preadv2(range.file.get(), &vector, 1, offset, RWF_NOWAIT);
  if (n > 0) return counted(static_cast<std::size_t>(n));
  wants_data_ = true;
  return std::nullopt;
}

bool Upload::rewind(std::uint64_t offset) {
  if (offset == at_) return true;
  if (!std::holds_alternative<std::string>(body_.content)) return false;
  at_ = offset;
  staged_begin_ = staged_end_ = 0;
  ended_ = false;
  return true;
}

rt::Task<Result<std::size_t>> Upload::refill_file(const FileRange& range) {
  const std::size_t want = std::min<std::uint64_t>(staged_.size(), range.length - at_);
  const ssize_t n = co_await rt::blocking(
      loop_, [file = range.file.get(), into = staged_.data(), want, at = range.offset + at_] {
        return ::pread(file, into, want, static_cast<off_t>(at));
      });
  if (n < 0) co_return fail(Code::kIo, "cannot read the file that is uploaded");
  if (n == 0) co_return fail(Code::kCorrupt, "a file became shorter while it was uploaded");
  co_return static_cast<std::size_t>(n);
}

rt::Task<Status> Upload::refill(rt::Op& op) {
  staged_.resize(kStage);
  staged_begin_ = staged_end_ = 0;
  std::size_t n = 0;
  if (const auto* range = std::get_if<FileRange>(&body_.content)) {
    CO_TRY(n, co_await refill_file(*range));
  } else {
    CO_TRY(n, co_await std::get<std::unique_ptr<Reader>>(body_.content)->read(op, staged_));
    source_ended_ = n == 0;
    if (n == 0 && length_ && at_ < *length_) {
      co_return fail(Code::kInternal, "a body of {} bytes was announced and {} came", *length_,
                     at_);
    }
  }
  staged_end_ = n;
  wants_data_ = false;
  co_return Status();
}

}  // namespace berth::http
