#include "content/content.h"

#include <algorithm>
#include <cstring>

namespace berth::content {
namespace {

constexpr std::size_t kFirstRead = 16 * 1024;  // of a small blob; larger ones double it

class BytesReader : public rt::Reader {
 public:
  explicit BytesReader(std::string bytes) : bytes_(std::move(bytes)) {}
  rt::Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t count = std::min(into.size(), bytes_.size() - at_);
    std::memcpy(into.data(), bytes_.data() + at_, count);
    at_ += count;
    co_return count;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

}  // namespace

rt::Task<Result<Source>> BytesFetcher::fetch(rt::Op&, oci::Descriptor, ByteRange range) {
  if (range.offset > bytes_.size()) {
    co_return fail(Code::kBadRange, "the range begins at {} of {} bytes", range.offset,
                   bytes_.size());
  }
  const std::uint64_t length = range.length.value_or(bytes_.size());
  Source source;
  source.size = bytes_.size();
  source.offset = range.offset;
  source.reader = std::make_unique<BytesReader>(bytes_.substr(range.offset, length));
  co_return source;
}

rt::Task<Result<std::string>> read_small(rt::Op& op, Fetcher& from, oci::Descriptor blob,
                                         std::uint64_t limit) {
  if (blob.size > limit) {
    co_return fail(Code::kTooLarge, "{} is {} bytes, more than the {} allowed for {}",
                   blob.digest.string(), blob.size, limit, printable(blob.media_type, 80));
  }
  CO_TRY(const Source source, co_await from.fetch(op, blob, {}));
  // One byte more than announced is asked for, so that a longer body is seen. Memory follows what
  // came, not what was announced.
  const std::size_t most = blob.size + 1;
  std::string bytes;
  std::size_t have = 0;
  while (have < most) {
    if (have == bytes.size()) bytes.resize(std::min(most, std::max(2 * have, kFirstRead)));
    CO_TRY(
        const std::size_t count,
        co_await source.reader->read(op, std::as_writable_bytes(std::span(bytes)).subspan(have)));
    if (count == 0) break;
    have += count;
  }
  bytes.resize(have);
  if (have != blob.size ||
      oci::Digest::of(as_bytes(bytes), blob.digest.algorithm()) != blob.digest) {
    co_return fail(Code::kDigestMismatch,
                   "what came for {} is not what its digest says ({} of {} bytes)",
                   blob.digest.string(), have, blob.size);
  }
  co_return bytes;
}

}  // namespace berth::content
