#include "store/file_reader.h"

#include <algorithm>
#include <cstring>

#include "rt/async.h"

namespace berth::store {
namespace {

constexpr std::size_t kPiece = 1024 * 1024;

class FileReader : public rt::Reader {
 public:
  FileReader(rt::Loop& loop, fs::File file, std::uint64_t offset, std::uint64_t length)
      : loop_(loop), file_(std::move(file)), offset_(offset), left_(length) {}

  Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    if (into.size() >= kPiece) {
      if (held_.empty()) co_return co_await pread(into);
    } else if (held_.empty()) {
      CO_TRY_OK(co_await refill());
    }
    const std::size_t count = std::min(into.size(), held_.size());
    std::memcpy(into.data(), held_.data(), count);
    held_ = held_.subspan(count);
    co_return count;
  }

 private:
  Task<Result<std::size_t>> pread(MutableBytes into) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_));
    if (most == 0) co_return std::size_t{0};
    CO_TRY(const std::size_t count, co_await rt::blocking(loop_, [this, into, most] {
             return file_.read_at(offset_, into.first(most));
           }));
    offset_ += count;
    left_ = count == 0 ? 0 : left_ - count;
    co_return count;
  }

  // Small reads are served from a piece in hand: a hop to the pool costs more than copying it.
  Task<Status> refill() {
    if (left_ == 0) co_return Status();
    if (piece_.empty())
      piece_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, left_)));
    CO_TRY(const std::size_t count, co_await pread(piece_));
    held_ = MutableBytes(piece_).first(count);
    co_return Status();
  }

  rt::Loop& loop_;
  fs::File file_;
  std::uint64_t offset_;
  std::uint64_t left_;
  std::vector<std::byte> piece_;
  MutableBytes held_;
};

}  // namespace

std::unique_ptr<rt::Reader> make_file_reader(rt::Loop& loop, fs::File file, std::uint64_t offset,
                                             std::uint64_t length) {
  return std::make_unique<FileReader>(loop, std::move(file), offset, length);
}

}  // namespace berth::store
