// Received bytes that wait for their reader, in pieces, so that neither growing nor reading moves
// what is there. Private to http.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/text.h"

namespace berth::http {

class ByteQueue {
 public:
  std::size_t size() const { return size_; }

  void append(Bytes bytes) {
    while (!bytes.empty()) {
      if (pieces_.empty() || pieces_.back().end == kPiece) add_piece();
      Piece& last = pieces_.back();
      const std::size_t n = std::min(bytes.size(), kPiece - last.end);
      std::memcpy(last.bytes.get() + last.end, bytes.data(), n);
      last.end += n;
      size_ += n;
      bytes = bytes.subspan(n);
    }
  }

  std::size_t take(MutableBytes into) {
    std::size_t taken = 0;
    while (taken < into.size() && size_ > 0) {
      Piece& first = pieces_.front();
      const std::size_t n = std::min(into.size() - taken, first.end - first.begin);
      std::memcpy(into.data() + taken, first.bytes.get() + first.begin, n);
      first.begin += n;
      taken += n;
      size_ -= n;
      if (first.begin == first.end) drop_piece();
    }
    return taken;
  }

 private:
  static constexpr std::size_t kPiece = 256 * 1024;
  struct Piece {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  void add_piece() {
    if (spares_.empty()) spares_.push_back(std::make_unique_for_overwrite<std::byte[]>(kPiece));
    pieces_.push_back({std::move(spares_.back())});
    spares_.pop_back();
  }
  // Kept, because fresh memory costs a page fault every 4 KiB.
  void drop_piece() {
    spares_.push_back(std::move(pieces_.front().bytes));
    pieces_.pop_front();
  }

  std::deque<Piece> pieces_;
  std::vector<std::unique_ptr<std::byte[]>> spares_;
  std::size_t size_ = 0;
};

}  // namespace berth::http
