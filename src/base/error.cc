#include "base/error.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace berth {
namespace {

constexpr std::array<std::string_view, kCodeCount> kNames = {
    "invalid",         "not_found", "conflict",     "denied",      "unauthenticated",
    "digest_mismatch", "corrupt",   "too_large",    "unavailable", "timeout",
    "cancelled",       "exhausted", "rate_limited", "bad_range",   "not_allowed",
    "unsupported",     "io",        "internal",
};

Code code_of_errno(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::kExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kDenied;
    case ENOENT:
      return Code::kNotFound;
    case EEXIST:
      return Code::kConflict;
    default:
      return Code::kIo;
  }
}

}  // namespace

std::string_view to_string(Code code) { return kNames[static_cast<std::size_t>(code)]; }

std::optional<Code> code_from_string(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Code>(i);
  }
  return std::nullopt;
}

std::unexpected<Error> fail_errno(int error, std::string_view doing) {
  return std::unexpected(
      Error(code_of_errno(error), fmt::format("{}: {}", doing, std::strerror(error))));
}

}  // namespace berth
