// The one error type of Berth: a closed code plus a sentence for the user.
//
// A message says what was attempted, on what, why it failed and what to do; context frames are
// added on the way up, outermost first. Two tables elsewhere map the code to an exit status (cli)
// and an HTTP status (api). Absence is not an error: a `find` returns an optional. Exceptions are
// for bugs.
#pragma once

#include <chrono>
#include <expected>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace berth {

enum class Code {
  kInvalid,          // the caller's input is malformed
  kNotFound,         // a named thing does not exist
  kConflict,         // the state forbids it now (exists, in use, several tags)
  kDenied,           // known caller, not allowed
  kUnauthenticated,  // no or wrong credentials
  kDigestMismatch,   // bytes are not what their digest says
  kCorrupt,          // stored or received data contradicts itself
  kTooLarge,         // over a bound
  kUnavailable,      // a peer cannot be reached or answers 5xx
  kTimeout,          // a wait reached its bound
  kCancelled,        // the user or caller gave up
  kExhausted,        // disk, memory, descriptors or quota are used up
  kRateLimited,      // 429; retry_after may be set
  kBadRange,         // 416
  kNotAllowed,       // method not allowed here
  kUnsupported,      // not in this version, not for this kind of artifact
  kIo,               // the operating system refused
  kInternal,         // a bug
};

// Every code, in order; for tables that must be complete.
inline constexpr int kCodeCount = static_cast<int>(Code::kInternal) + 1;

// The code's name in snake_case, as used in JSON ("not_found").
std::string_view to_string(Code code);
std::optional<Code> code_from_string(std::string_view name);

class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  // The whole sentence: context frames, then the message, joined by ": ".
  const std::string& message() const { return message_; }

  // Seconds after which a retry makes sense (Retry-After of a 429 or 503).
  std::optional<std::chrono::seconds> retry_after() const { return retry_after_; }
  Error&& with_retry_after(std::chrono::seconds after) && {
    retry_after_ = after;
    return std::move(*this);
  }
  // Prepends what was being done ("cannot pull ai/x").
  Error&& with_context(std::string_view doing) && {
    message_ = fmt::format("{}: {}", doing, message_);
    return std::move(*this);
  }

 private:
  Code code_;
  std::string message_;
  std::optional<std::chrono::seconds> retry_after_;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

// return fail(Code::kNotFound, "no model {} here; pull it with: berth pull {}", name, name);
template <class... Args>
std::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

// kExhausted (ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM), kDenied (EACCES, EPERM, EROFS), kNotFound
// (ENOENT), kConflict (EEXIST) or kIo from an errno value: "<doing>: <strerror>".
std::unexpected<Error> fail_errno(int error, std::string_view doing);

// Gives a Result's error one more frame of context.
template <class T>
Result<T> in_context(Result<T> result, std::string_view doing) {
  if (!result) return std::unexpected(std::move(result.error()).with_context(doing));
  return result;
}

}  // namespace berth

#define BERTH_CONCAT_INNER(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_INNER(a, b)
#define BERTH_TRY_INNER(tmp, ret, decl, ...)     \
  auto tmp = (__VA_ARGS__);                      \
  if (!tmp) [[unlikely]]                         \
    ret std::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
#define BERTH_TRY_OK_INNER(tmp, ret, ...)          \
  do {                                             \
    auto tmp = (__VA_ARGS__);                      \
    if (!tmp) [[unlikely]]                         \
      ret std::unexpected(std::move(tmp).error()); \
  } while (false)

// TRY(auto x, expression): declares x from a Result or returns its error. CO_TRY is the same in a
// coroutine (std::expected of libstdc++ 12 has no and_then). TRY_OK and CO_TRY_OK are for a Status.
#define TRY(decl, ...) BERTH_TRY_INNER(BERTH_CONCAT(try_, __LINE__), return, decl, __VA_ARGS__)
#define CO_TRY(decl, ...) \
  BERTH_TRY_INNER(BERTH_CONCAT(try_, __LINE__), co_return, decl, __VA_ARGS__)
#define TRY_OK(...) BERTH_TRY_OK_INNER(BERTH_CONCAT(try_, __LINE__), return, __VA_ARGS__)
#define CO_TRY_OK(...) BERTH_TRY_OK_INNER(BERTH_CONCAT(try_, __LINE__), co_return, __VA_ARGS__)
