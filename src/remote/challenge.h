// WWW-Authenticate as values: what a 401 asks for. Pure; hostile input is bounded, never an error:
// what cannot be read is left out. Source: RFC 9110 section 11.6.1.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::remote {

struct Challenge {
  std::string scheme;                         // lower case: "bearer", "basic"
  std::map<std::string, std::string> params;  // lower-case names, values without quotes

  std::string param(const std::string& name) const;  // "" when absent
};

inline constexpr std::size_t kMaxChallengeBytes = 16 * 1024;
inline constexpr std::size_t kMaxChallenges = 8;
inline constexpr std::size_t kMaxChallengeParams = 16;

// Of one or more fields; several challenges may share a field.
std::vector<Challenge> parse_challenges(const std::vector<std::string_view>& fields);

}  // namespace berth::remote
