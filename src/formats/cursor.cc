#include "formats/cursor.h"

#include <algorithm>

namespace berth::formats {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;

}  // namespace

Status Cursor::check(std::uint64_t length, std::string_view what) const {
  if (length > remaining()) {
    return fail(Code::kCorrupt,
                "the file ends inside {}: {} bytes are declared at byte {} and {} remain",
                printable(what, 80), length, position_, remaining());
  }
  if (position_ + length > limit_) {
    return fail(Code::kTooLarge,
                "the header does not end within {} bytes, which is all that is read of one",
                limit_);
  }
  return {};
}

Status Cursor::fill() {
  const std::uint64_t want = std::min<std::uint64_t>(kBufferBytes, remaining());
  buffer_.resize(want);
  buffer_start_ = position_;
  TRY(const std::size_t got, source_->read_at(position_, buffer_));
  buffer_.resize(got);
  if (got == 0)
    return fail(Code::kCorrupt, "the file became shorter while it was read, at byte {}", position_);
  return {};
}

Status Cursor::bytes(MutableBytes into, std::string_view what) {
  TRY_OK(check(into.size(), what));
  while (!into.empty()) {
    const bool buffered = position_ >= buffer_start_ && position_ < buffer_start_ + buffer_.size();
    if (!buffered) TRY_OK(fill());
    const std::size_t at = position_ - buffer_start_;
    const std::size_t count = std::min(into.size(), buffer_.size() - at);
    std::memcpy(into.data(), buffer_.data() + at, count);
    into = into.subspan(count);
    position_ += count;
  }
  return {};
}

Result<std::string> Cursor::text(std::uint64_t length, std::string_view what) {
  TRY_OK(check(length, what));
  std::string text(length, '\0');
  TRY_OK(bytes(std::as_writable_bytes(std::span(text.data(), text.size())), what));
  return text;
}

Status Cursor::skip(std::uint64_t length, std::string_view what) {
  TRY_OK(check(length, what));
  position_ += length;
  return {};
}

Status Cursor::skip_strings(std::uint64_t count, std::string_view what) {
  while (count > 0) {
    // As many as lie whole in the buffer; the one that does not takes the careful way.
    const bool buffered = position_ >= buffer_start_ && position_ < buffer_start_ + buffer_.size();
    const std::byte* const end = buffer_.data() + buffer_.size();
    const std::byte* at = buffered ? buffer_.data() + (position_ - buffer_start_) : end;
    while (count > 0 && position_ < limit_ && end - at >= 8) {
      std::uint64_t length = 0;
      std::memcpy(&length, at, sizeof length);
      if (length > static_cast<std::uint64_t>(end - at) - 8) break;
      at += 8 + length;
      position_ += 8 + length;
      --count;
    }
    if (count == 0) break;
    TRY(const std::uint64_t length, number<std::uint64_t>(what));
    TRY_OK(skip(length, what));
    --count;
  }
  return {};
}

}  // namespace berth::formats
