#include "store/refs_log.h"

#include <algorithm>
#include <array>

#include "base/failpoint.h"
#include "store/layout.h"

namespace berth::store {
namespace {

constexpr std::array<std::string_view, 4> kWords = {"tag", "untag", "remove", "select"};
constexpr std::size_t kFields = 10;  // version … digest, and the checksum
constexpr std::size_t kChecksumLength = 16;
constexpr std::size_t kMaxLog = 256 * 1024 * 1024;

std::string checksum(std::string_view text) {
  return crypto::hash_hex(crypto::Algorithm::kSha256, as_bytes(text)).substr(0, kChecksumLength);
}

std::string or_dash(const std::optional<oci::Digest>& digest) {
  return digest ? digest->string() : "-";
}
std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::optional<oci::Digest> digest_or_none(const std::string& field) {
  if (auto digest = oci::Digest::parse(field)) return std::move(*digest);
  return std::nullopt;
}

std::optional<oci::Reference> reference_from(const std::vector<std::string>& field) {
  if (field[5].empty() || field[5] == "-" || !oci::is_repository(field[6])) return std::nullopt;
  if (field[7] != "-" && !oci::is_tag(field[7])) return std::nullopt;
  return oci::Reference{.registry = field[5],
                        .repository = field[6],
                        .tag = field[7] == "-" ? "" : field[7],
                        .digest = digest_or_none(field[8])};
}

bool complete(const RefMove& move) {
  switch (move.kind) {
    case RefMove::Kind::kTag:
      return move.target && move.model && move.reference;
    case RefMove::Kind::kUntag:
      return move.reference.has_value();
    case RefMove::Kind::kRemove:
      return move.model.has_value();
    case RefMove::Kind::kSelect:
      return move.target && move.model;
  }
  return false;
}

// A line cut by a crash must not swallow the next one.
Result<std::string> glue(const fs::File& log, std::uint64_t size) {
  if (size == 0) return std::string();
  char last = 0;
  TRY(const std::size_t have, log.read_at(size - 1, std::as_writable_bytes(std::span(&last, 1))));
  return std::string(have == 1 && last != '\n' ? "\n" : "");
}

}  // namespace

std::string format_move(const RefMove& move) {
  const oci::Reference none;
  const oci::Reference& name = move.reference ? *move.reference : none;
  const std::string text = fmt::format(
      "1 {} {} {} {} {} {} {} {}", kWords[static_cast<std::size_t>(move.kind)],
      move.time.time_since_epoch().count(), or_dash(move.target), or_dash(move.model),
      or_dash(name.registry), or_dash(name.repository), or_dash(name.tag), or_dash(name.digest));
  return fmt::format("{} {}\n", text, checksum(text));
}

std::optional<RefMove> parse_move(std::string_view line) {
  const std::size_t end = line.rfind(' ');
  if (end == std::string_view::npos || line.substr(end + 1) != checksum(line.substr(0, end))) {
    return std::nullopt;
  }
  const std::vector<std::string> field = split(line, ' ');
  if (field.size() != kFields || field[0] != "1") return std::nullopt;
  const auto word = std::ranges::find(kWords, field[1]);
  const auto time = parse_i64(field[2]);
  if (word == kWords.end() || !time) return std::nullopt;
  RefMove move{.kind = static_cast<RefMove::Kind>(word - kWords.begin()),
               .time = std::chrono::sys_seconds(std::chrono::seconds(*time)),
               .target = digest_or_none(field[3]),
               .model = digest_or_none(field[4]),
               .reference = reference_from(field)};
  if (!complete(move)) return std::nullopt;
  return move;
}

Status append_moves(const fs::Dir& root, const std::vector<RefMove>& moves) {
  if (moves.empty()) return {};
  TRY(fs::File log, root.open_or_create(kRefsLogFile));
  TRY(const fs::FileInfo info, log.info());
  TRY(std::string text, glue(log, info.size));
  for (const RefMove& move : moves) text += format_move(move);
  BERTH_FAILPOINT("store.refs_log.before_write");
  TRY_OK(log.write_at(info.size, as_bytes(text)));
  BERTH_FAILPOINT("store.refs_log.before_sync");
  TRY_OK(log.sync());
  BERTH_FAILPOINT("store.refs_log.after_sync");
  return {};
}

Result<RefMoves> read_moves(const fs::Dir& root) {
  RefMoves result;
  TRY(const auto found, root.find(kRefsLogFile));
  if (!found) return result;
  TRY(const std::string text, root.read_small(kRefsLogFile, kMaxLog));
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    if (auto move = parse_move(line)) {
      result.moves.push_back(std::move(*move));
    } else {
      ++result.damaged_lines;
    }
  }
  return result;
}

}  // namespace berth::store
