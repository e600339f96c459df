// Which pieces of an upload are held, in memory and in a file beside it. Private to depot.
//
// The file is a line "BEGIN END" for each piece, written when the piece is: a process that is
// killed leaves what it had, and a line that was not finished is none. add() and the reading block;
// the rest is the loop thread's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fs/file.h"

namespace berth::depot {

struct Piece {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool overlaps(const Piece& other) const { return begin < other.end && other.begin < end; }
};

class Pieces {
 public:
  static constexpr std::size_t kMost = 20'000;

  static Result<std::unique_ptr<Pieces>> create(const fs::Dir& root, std::string_view name);
  // nullptr when there is no such file.
  static Result<std::unique_ptr<Pieces>> open(const fs::Dir& root, std::string_view name);

  // What comes again is not held until it is there. kTooLarge for one too many.
  Status forget(const Piece& piece);
  void hold(const Piece& piece) { held_[piece.begin] = piece.end; }
  // The place of its line, which only this piece has.
  struct Line {
    std::uint64_t at = 0;
    std::string text;
  };
  Line line_of(const Piece& piece);
  Status write(const Line& line) { return file_.write_at(line.at, as_bytes(line.text)); }

  std::size_t count() const { return held_.size(); }
  // Bytes without a gap from the beginning, and the end of the last piece.
  std::uint64_t prefix() const;
  std::uint64_t end() const;

 private:
  explicit Pieces(fs::File file) : file_(std::move(file)) {}
  void read(std::string_view text);

  fs::File file_;
  std::uint64_t next_line_ = 0;
  std::map<std::uint64_t, std::uint64_t> held_;  // begin -> end
};

}  // namespace berth::depot
