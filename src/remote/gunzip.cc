#include "remote/gunzip.h"

#include <algorithm>
#include <vector>
#include <zlib.h>

namespace berth::remote {
namespace {

constexpr std::size_t kPiece = 64 * 1024;
constexpr int kGzipOnly = 15 + 16;  // window bits, and no zlib header
// What no compressor adds to bytes that it cannot compress; more is somebody's joke.
constexpr std::uint64_t kOverhead = 64 * 1024;

class GunzipReader : public rt::Reader {
 public:
  GunzipReader(std::unique_ptr<rt::Reader> inner, std::uint64_t limit, std::string what)
      : inner_(std::move(inner)),
        packed_(kPiece),
        packed_left_(limit + limit / 100 + kOverhead),
        left_(limit),
        what_(std::move(what)) {
    ready_ = inflateInit2(&stream_, kGzipOnly) == Z_OK;
  }
  ~GunzipReader() override { inflateEnd(&stream_); }
  GunzipReader(const GunzipReader&) = delete;
  GunzipReader& operator=(const GunzipReader&) = delete;

  Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (!ready_) co_return fail(Code::kExhausted, "no memory to unpack {}", what_);
    into = into.first(std::min(into.size(), kPiece));
    while (true) {
      if (stream_.avail_in == 0 && !source_ended_) CO_TRY_OK(co_await refill(op));
      CO_TRY(const std::size_t count, unpack(into));
      if (count != 0 || ended_ || into.empty()) co_return count;
    }
  }

 private:
  Task<Status> refill(rt::Op& op) {
    CO_TRY(const std::size_t count, co_await inner_->read(op, packed_));
    if (count > packed_left_) co_return too_long();
    packed_left_ -= count;
    source_ended_ = count == 0;
    stream_.next_in = reinterpret_cast<Bytef*>(packed_.data());
    stream_.avail_in = static_cast<uInt>(count);
    co_return Status();
  }

  Result<std::size_t> unpack(MutableBytes into) {
    if (source_ended_ && stream_.avail_in == 0) {
      if (!member_ended_) return fail(Code::kUnavailable, "{} was cut short", what_);
      ended_ = true;
      return 0;
    }
    if (std::exchange(member_ended_, false)) inflateReset(&stream_);  // another member follows
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(into.size());
    const int outcome = inflate(&stream_, Z_NO_FLUSH);
    if (outcome != Z_OK && outcome != Z_STREAM_END && outcome != Z_BUF_ERROR)
      return fail(Code::kCorrupt, "{} came compressed and is no gzip", what_);
    member_ended_ = outcome == Z_STREAM_END;
    const std::size_t count = into.size() - stream_.avail_out;
    if (count > left_) return too_long();
    left_ -= count;
    return count;
  }

  std::unexpected<Error> too_long() const {
    return fail(Code::kCorrupt, "{} came compressed and is longer than announced", what_);
  }

  std::unique_ptr<rt::Reader> inner_;
  z_stream stream_{};
  std::vector<std::byte> packed_;
  std::uint64_t packed_left_;
  std::uint64_t left_;
  std::string what_;
  bool ready_ = false;
  bool source_ended_ = false;
  bool member_ended_ = false;
  bool ended_ = false;
};

class TextReader : public rt::Reader {
 public:
  explicit TextReader(std::string text) : text_(std::move(text)) {}
  Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t count = std::min(into.size(), text_.size() - at_);
    std::ranges::copy(as_bytes(std::string_view(text_).substr(at_, count)), into.begin());
    at_ += count;
    co_return count;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

std::unique_ptr<rt::Reader> reader_of(http::Body body) {
  if (auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&body.content); reader && *reader)
    return std::move(*reader);
  auto* text = std::get_if<std::string>(&body.content);
  return std::make_unique<TextReader>(text == nullptr ? "" : std::move(*text));
}

}  // namespace

bool is_encoded(const http::Headers& headers) {
  const auto encoding = headers.get("Content-Encoding");
  return encoding && !trim(*encoding).empty() && !iequals(trim(*encoding), "identity");
}

Result<std::unique_ptr<rt::Reader>> decoded(http::Response response, std::uint64_t limit,
                                            std::string what) {
  auto reader = reader_of(std::move(response.body));
  if (!is_encoded(response.headers)) return reader;
  const std::string encoding(trim(*response.headers.get("Content-Encoding")));
  if (!iequals(encoding, "gzip") && !iequals(encoding, "x-gzip")) {
    return fail(Code::kCorrupt, "{} came compressed as \"{}\" though it was asked for as it is",
                what, printable(encoding, 60));
  }
  return std::make_unique<GunzipReader>(std::move(reader), limit, std::move(what));
}

}  // namespace berth::remote
