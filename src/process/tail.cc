#include "process/tail.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"

namespace berth::process {

void Tail::append(std::string_view bytes) {
  total_ += bytes.size();
  kept_.append(bytes.substr(bytes.size() - std::min(bytes.size(), limit_)));
  // Cut only now and then, so that a chatty child costs one copy of the limit per limit's worth.
  if (kept_.size() > 2 * limit_) kept_.erase(0, kept_.size() - limit_);
}

std::string Tail::text() const {
  if (kept_.size() <= limit_ && total_ <= limit_) return kept_;
  std::string_view end = kept_;
  end.remove_prefix(end.size() - std::min(end.size(), limit_));
  const std::size_t line = end.find('\n');
  if (line != std::string_view::npos && line + 1 < end.size()) end.remove_prefix(line + 1);
  return std::string(end);
}

std::string Tail::last_lines(std::size_t count) const {
  std::vector<std::string> chosen;
  const std::vector<std::string> lines = split(text(), '\n');
  for (auto line = lines.rbegin(); line != lines.rend() && chosen.size() < count; ++line) {
    if (!trim(*line).empty()) chosen.push_back(*line);
  }
  std::string joined;
  for (auto line = chosen.rbegin(); line != chosen.rend(); ++line) {
    if (!joined.empty()) joined += '\n';
    joined += *line;
  }
  return joined;
}

void LineSplitter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t room = kMaxLine - line_.size();
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    line_.append(bytes.substr(0, std::min(end, room)));
    if (end > room) {
      bytes.remove_prefix(room);
      emit();
      continue;
    }
    if (end == bytes.size()) return;
    bytes.remove_prefix(end + 1);
    emit();
  }
}

void LineSplitter::finish() {
  if (!line_.empty()) emit();
}

void LineSplitter::emit() {
  const std::string line = std::exchange(line_, {});
  std::string_view shown = line;
  if (shown.ends_with('\r')) shown.remove_suffix(1);
  if (on_line_) on_line_(shown);
}

}  // namespace berth::process
