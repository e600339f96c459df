// A password hash of Argon2id as text: $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH (PHC string
// format, RFC 9106). Private to guard.
//
// matches() takes the memory that the text asks for and one thread, whatever the lanes: bounded, so
// that a file of users cannot ask for more than a machine has. Failure: kInvalid saying what is
// wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret.h"

namespace berth::guard {

class Argon2 {
 public:
  static constexpr std::uint32_t kLeastMemory = 4 * 1024;   // KiB; less is no slow hash
  static constexpr std::uint32_t kMostMemory = 256 * 1024;  // KiB
  static constexpr std::uint32_t kMostPasses = 16;
  static constexpr std::uint32_t kMostLanes = 16;

  // Whether the text claims to be one.
  static bool is_one(std::string_view text) { return text.starts_with("$argon2"); }
  static Result<Argon2> parse(std::string_view text);
  bool matches(const std::string& password) const;

 private:
  std::uint32_t memory_ = 0;
  std::uint32_t passes_ = 0;
  std::uint32_t lanes_ = 0;
  std::string salt_;
  std::string hash_;
};

}  // namespace berth::guard
