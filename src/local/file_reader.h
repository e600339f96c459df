// Reads a local file, or a range of it, on the pool. Loop thread; outlived by the Loop.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "fs/file.h"
#include "rt/async.h"
#include "rt/reader.h"

namespace berth::local {

class FileReader : public rt::Reader {
 public:
  static constexpr std::uint64_t kToEnd = std::numeric_limits<std::uint64_t>::max();
  // [offset, end); a file that is shorter just ends.
  FileReader(rt::Loop& loop, fs::File file, std::uint64_t offset = 0, std::uint64_t end = kToEnd)
      : loop_(loop), file_(std::move(file)), at_(offset), end_(end) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const MutableBytes part = into.first(std::min<std::uint64_t>(into.size(), end_ - at_));
    CO_TRY(const std::size_t count,
           co_await rt::blocking(loop_, [&] { return file_.read_at(at_, part); }));
    at_ += count;
    co_return count;
  }

 private:
  rt::Loop& loop_;
  fs::File file_;
  std::uint64_t at_;
  std::uint64_t end_;
};

}  // namespace berth::local
