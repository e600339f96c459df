#include "guard/argon2.h"

#include <argon2.h>
#include <optional>
#include <vector>

#include "base/text.h"
#include "crypto/hash.h"

namespace berth::guard {
namespace {

constexpr std::size_t kLongestText = 512;
constexpr std::size_t kLeastSalt = 8;
constexpr std::size_t kLeastHash = 16;
constexpr std::size_t kMostBytes = 64;  // of each

// "m=65536" -> 65536
std::optional<std::uint32_t> number(std::string_view field, std::string_view name,
                                    std::uint32_t least, std::uint32_t most) {
  if (!field.starts_with(name)) return std::nullopt;
  const auto value = parse_u64(field.substr(name.size()));
  if (!value || *value < least || *value > most) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

std::optional<std::string> bytes(std::string_view coded, std::size_t least) {
  if (coded.empty() || coded.find('=') != std::string_view::npos) return std::nullopt;
  auto decoded = base64_decode(coded);
  if (!decoded || decoded->size() < least || decoded->size() > kMostBytes) return std::nullopt;
  return decoded;
}

}  // namespace

Result<Argon2> Argon2::parse(std::string_view text) {
  if (text.size() > kLongestText) return fail(Code::kInvalid, "it is too long");
  const std::vector<std::string> parts = split(text, '$');
  if (parts.size() != 6 || !parts[0].empty() || parts[1] != "argon2id" || parts[2] != "v=19")
    return fail(Code::kInvalid, "it is not $argon2id$v=19$m=,t=,p=$salt$hash");
  const std::vector<std::string> costs = split(parts[3], ',');
  if (costs.size() != 3) return fail(Code::kInvalid, "its costs are not m=,t=,p=");
  const auto memory = number(costs[0], "m=", kLeastMemory, kMostMemory);
  const auto passes = number(costs[1], "t=", 1, kMostPasses);
  const auto lanes = number(costs[2], "p=", 1, kMostLanes);
  if (!memory || !passes || !lanes) {
    return fail(Code::kInvalid, "its costs have to be m={} to {} (KiB), t=1 to {} and p=1 to {}",
                kLeastMemory, kMostMemory, kMostPasses, kMostLanes);
  }
  auto salt = bytes(parts[4], kLeastSalt);
  auto hash = bytes(parts[5], kLeastHash);
  if (!salt || !hash) {
    return fail(Code::kInvalid,
                "its salt has to be {} to {} bytes and its hash {} to {}, in base64", kLeastSalt,
                kMostBytes, kLeastHash, kMostBytes);
  }
  Argon2 parsed;
  parsed.memory_ = *memory;
  parsed.passes_ = *passes;
  parsed.lanes_ = *lanes;
  parsed.salt_ = std::move(*salt);
  parsed.hash_ = std::move(*hash);
  return parsed;
}

bool Argon2::matches(const std::string& password) const {
  std::string made(hash_.size(), '\0');
  std::string secret = password;  // the library does not promise to leave it alone
  std::string salt = salt_;
  argon2_context context{};
  context.out = reinterpret_cast<std::uint8_t*>(made.data());
  context.outlen = static_cast<std::uint32_t>(made.size());
  context.pwd = reinterpret_cast<std::uint8_t*>(secret.data());
  context.pwdlen = static_cast<std::uint32_t>(secret.size());
  context.salt = reinterpret_cast<std::uint8_t*>(salt.data());
  context.saltlen = static_cast<std::uint32_t>(salt.size());
  context.t_cost = passes_;
  context.m_cost = memory_;
  context.lanes = lanes_;
  context.threads = 1;
  context.version = ARGON2_VERSION_13;
  context.flags = ARGON2_DEFAULT_FLAGS;
  return argon2_ctx(&context, Argon2_id) == ARGON2_OK && crypto::constant_time_equal(made, hash_);
}

}  // namespace berth::guard
