#include "depot/pieces.h"

#include <algorithm>

#include "base/text.h"

namespace berth::depot {
namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 20;  // of the file: lines of pieces sent again

}  // namespace

Result<std::unique_ptr<Pieces>> Pieces::create(const fs::Dir& root, std::string_view name) {
  TRY(fs::File file, root.create_new(name));
  return std::unique_ptr<Pieces>(new Pieces(std::move(file)));
}

Result<std::unique_ptr<Pieces>> Pieces::open(const fs::Dir& root, std::string_view name) {
  auto file = root.open_write(name);
  if (!file && file.error().code() == Code::kNotFound) return nullptr;
  if (!file) return std::unexpected(std::move(file.error()));
  TRY(std::string text, root.read_small(name, kMostBytes));
  const std::size_t whole = text.rfind('\n');
  text.resize(whole == std::string::npos ? 0 : whole + 1);
  TRY_OK(file->truncate(text.size()));
  std::unique_ptr<Pieces> pieces(new Pieces(std::move(*file)));
  pieces->read(text);
  return pieces;
}

void Pieces::read(std::string_view text) {
  next_line_ = text.size();
  for (const std::string& raw : split(text, '\n')) {
    // A place that was given to a line that never came is a hole.
    const std::string_view line =
        std::string_view(raw).substr(std::min(raw.find_first_not_of('\0'), raw.size()));
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    const auto begin = parse_u64(line.substr(0, space));
    const auto end = parse_u64(line.substr(space + 1));
    if (begin && end && *begin < *end) hold({.begin = *begin, .end = *end});
  }
}

Status Pieces::forget(const Piece& piece) {
  std::erase_if(held_, [&](const auto& held) {
    return piece.overlaps({.begin = held.first, .end = held.second});
  });
  if (held_.size() < kMost && next_line_ < kMostBytes / 2) return {};
  return fail(Code::kTooLarge, "an upload takes {} pieces: send larger ones", kMost);
}

Pieces::Line Pieces::line_of(const Piece& piece) {
  Line line{.at = next_line_, .text = fmt::format("{} {}\n", piece.begin, piece.end)};
  next_line_ += line.text.size();
  return line;
}

std::uint64_t Pieces::prefix() const {
  std::uint64_t reached = 0;
  for (const auto& [begin, end] : held_) {
    if (begin > reached) break;
    reached = std::max(reached, end);
  }
  return reached;
}

std::uint64_t Pieces::end() const {
  std::uint64_t last = 0;
  for (const auto& [begin, end] : held_) last = std::max(last, end);
  return last;
}

}  // namespace berth::depot
