#include "http/message.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace berth::http {
namespace {

constexpr std::size_t kPiece = 64 * 1024;

std::unexpected<Error> body_too_large(std::uint64_t limit) {
  return fail(Code::kTooLarge, "the body is larger than the {} allowed here", format_size(limit));
}

// A caller that asked for a bounded text gets it at once: such files are small and were just
// written or cached.
Result<std::string> read_file(const FileRange& range) {
  std::string text(range.length, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t n = ::pread(range.file.get(), text.data() + have, text.size() - have,
                              static_cast<off_t>(range.offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot read the file of a body");
    if (n == 0) return fail(Code::kCorrupt, "the file of a body is shorter than it was");
    have += static_cast<std::size_t>(n);
  }
  return text;
}

rt::Task<Result<std::string>> drain(rt::Op& op, Reader& reader, std::uint64_t limit) {
  std::string text;
  std::vector<std::byte> piece(kPiece);
  while (true) {
    CO_TRY(const std::size_t n, co_await reader.read(op, piece));
    if (n == 0) co_return text;
    if (n > limit - text.size()) co_return body_too_large(limit);
    text.append(as_text(Bytes(piece).first(n)));
  }
}

}  // namespace

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const auto& [key, value] : fields_) {
    if (iequals(key, name)) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Headers::get_all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : fields_) {
    if (iequals(key, name)) values.push_back(value);
  }
  return values;
}

void Headers::set(std::string_view name, std::string_view value) {
  std::string kept(value);  // `value` may point into a field that goes
  remove(name);
  fields_.emplace_back(name, std::move(kept));
}

void Headers::add(std::string_view name, std::string_view value) {
  fields_.emplace_back(name, value);
}

void Headers::remove(std::string_view name) {
  std::erase_if(fields_, [name](const auto& field) { return iequals(field.first, name); });
}

rt::Task<Result<std::string>> read_all(rt::Op& op, Body body, std::uint64_t limit) {
  if (body.length && *body.length > limit) co_return body_too_large(limit);
  if (auto* text = std::get_if<std::string>(&body.content)) {
    if (text->size() > limit) co_return body_too_large(limit);
    co_return std::move(*text);
  }
  if (const auto* range = std::get_if<FileRange>(&body.content)) {
    if (range->length > limit) co_return body_too_large(limit);
    co_return read_file(*range);
  }
  const auto& reader = std::get<std::unique_ptr<Reader>>(body.content);
  if (!reader) co_return std::string();
  co_return co_await drain(op, *reader, limit);
}

Response reply(int status, std::string_view content_type, std::string body) {
  Response response{.status = status, .headers = {}, .body = Body(std::move(body))};
  if (!content_type.empty()) response.headers.set("Content-Type", content_type);
  return response;
}

}  // namespace berth::http
