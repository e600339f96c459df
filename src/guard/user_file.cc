#include "guard/user_file.h"

#include "fs/file.h"

namespace berth::guard {
namespace {

constexpr std::size_t kMostBytes = 1024 * 1024;

}  // namespace

Result<std::string> read_user_file(const std::string& path) {
  TRY(const fs::File file, fs::open_user_file(path));
  TRY(const fs::FileInfo info, file.info());
  if (info.size > kMostBytes)
    return fail(Code::kTooLarge, "{} is larger than a file of users may be", path);
  std::string text(info.size, '\0');
  TRY(const std::size_t count, file.read_at(0, std::as_writable_bytes(std::span(text))));
  text.resize(count);
  return text;
}

}  // namespace berth::guard
