#include "remote/blob_stream.h"

#include <algorithm>
#include <array>
#include <fcntl.h>

namespace berth::remote {
namespace {

constexpr int kTries = 4;

class ExactReader : public rt::Reader {
 public:
  ExactReader(std::unique_ptr<rt::Reader> inner, std::uint64_t expected, std::string what)
      : inner_(std::move(inner)), left_(expected), what_(std::move(what)) {}

  Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (left_ == 0) co_return co_await expect_end(op);
    CO_TRY(const std::size_t count, co_await inner_->read(op, into));
    if (count > left_) co_return fail(Code::kCorrupt, "{} is longer than announced", what_);
    if (count == 0 && !into.empty())
      co_return fail(Code::kUnavailable, "{} was cut short, {} bytes are missing", what_, left_);
    left_ -= count;
    co_return count;
  }

 private:
  Task<Result<std::size_t>> expect_end(rt::Op& op) {
    std::array<std::byte, 1> extra{};
    CO_TRY(const std::size_t count, co_await inner_->read(op, extra));
    if (count != 0) co_return fail(Code::kCorrupt, "{} is longer than announced", what_);
    co_return 0;
  }

  std::unique_ptr<rt::Reader> inner_;
  std::uint64_t left_;
  std::string what_;
};

// One slice of a shared stream. Owns what it reads from: an HTTP client may let go of a body after
// the call returned.
class SliceReader : public rt::Reader {
 public:
  SliceReader(std::shared_ptr<BlobStream> stream, std::uint64_t offset, std::uint64_t length,
              std::function<void(std::uint64_t)> sent,
              std::shared_ptr<std::optional<Error>> failure)
      : stream_(std::move(stream)),
        at_(offset),
        left_(length),
        sent_(std::move(sent)),
        failure_(std::move(failure)) {}

  Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (left_ == 0) co_return 0;
    const std::size_t most = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_));
    auto count = co_await stream_->read(op, into.first(most));
    if (!count) {
      *failure_ = count.error();
      co_return count;
    }
    at_ += *count;
    left_ -= *count;
    sent_(at_);
    co_return count;
  }

 private:
  std::shared_ptr<BlobStream> stream_;
  std::uint64_t at_;
  std::uint64_t left_;
  std::function<void(std::uint64_t)> sent_;
  std::shared_ptr<std::optional<Error>> failure_;
};

}  // namespace

std::unique_ptr<rt::Reader> exactly(std::unique_ptr<rt::Reader> inner, std::uint64_t expected,
                                    std::string what) {
  return std::make_unique<ExactReader>(std::move(inner), expected, std::move(what));
}

Task<Status> BlobStream::seek(rt::Op& op, std::uint64_t offset) {
  if (reader_ && at_ == offset) co_return Status();
  CO_TRY(content::Source source,
         co_await from_.fetch(op, blob_, {.offset = offset, .length = std::nullopt}));
  if (source.offset > offset)
    co_return fail(Code::kCorrupt, "the source of {} begins too late", blob_.digest.string());
  reader_ = std::move(source.reader);
  file_ = std::move(source.file);
  at_ = source.offset;
  // A source that ignores ranges is read up to the place.
  std::vector<std::byte> skipped(std::min<std::uint64_t>(offset - at_, 64 * 1024));
  while (at_ < offset) {
    const std::size_t most = std::min<std::uint64_t>(skipped.size(), offset - at_);
    CO_TRY_OK(co_await read_on(op, std::span(skipped).first(most)));
  }
  co_return Status();
}

Task<Result<std::size_t>> BlobStream::read(rt::Op& op, MutableBytes into) {
  for (int tries = 1;; ++tries) {
    auto count = co_await read_on(op, into);
    const bool broken = !count && (count.error().code() == Code::kUnavailable ||
                                   count.error().code() == Code::kTimeout);
    if (!broken || tries == kTries || !op.check()) co_return count;
    const std::uint64_t at = at_;
    reader_.reset();
    CO_TRY_OK(co_await seek(op, at));
  }
}

Task<Result<std::size_t>> BlobStream::read_on(rt::Op& op, MutableBytes into) {
  CO_TRY(const std::size_t count, co_await reader_->read(op, into));
  if (count == 0 && !into.empty()) {
    co_return fail(Code::kCorrupt, "the source of {} ended after {} of {} bytes",
                   blob_.digest.string(), at_, blob_.size);
  }
  at_ += count;
  co_return count;
}

void BlobBody::slice(std::uint64_t offset, std::uint64_t length) {
  offset_ = offset;
  length_ = length;
  opened_ = false;
  *reached_ = offset;
}

http::Body BlobBody::file_body(std::function<void(std::uint64_t)> told, UniqueFd file) const {
  const auto gone = [told = std::move(told), begin = offset_](std::uint64_t count) {
    told(begin + count);
  };
  return http::Body(
      http::FileRange{.file = std::move(file), .offset = offset_, .length = length_, .sent = gone});
}

Task<Result<http::Body>> BlobBody::open(rt::Op& op) {
  if (length_ == 0) co_return http::Body(std::string());
  *reached_ = offset_;
  failure_ = std::make_shared<std::optional<Error>>();
  const auto told = [reached = reached_, sent = sent_](std::uint64_t at) {
    *reached = at;
    sent(at);
  };
  if (!file_) {
    if (opened_ || !stream_) stream_ = std::make_shared<BlobStream>(from_, blob_);
    opened_ = true;
    const Status ready = co_await stream_->seek(op, offset_);
    if (!ready) {
      *failure_ = ready.error();
      co_return std::unexpected(ready.error());
    }
    if (throttles_.empty()) file_ = stream_->take_file();
  }
  if (file_) {
    UniqueFd file(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
    if (!file) co_return fail_errno(errno, "cannot read what is uploaded");
    co_return file_body(told, std::move(file));
  }
  auto slice = std::make_unique<SliceReader>(stream_, offset_, length_, told, failure_);
  co_return http::Body(paced(std::move(slice), throttles_), length_);
}

}  // namespace berth::remote
