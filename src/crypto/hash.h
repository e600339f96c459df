// Streaming hashes, random bytes and constant-time comparison. The only module that includes
// OpenSSL's crypto headers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace berth::crypto {

enum class Algorithm { kSha256, kSha512 };  // FIPS 180-4

// One hash in progress. Not thread-safe; may move between threads. Memory failure aborts.
class Hasher {
 public:
  explicit Hasher(Algorithm algorithm);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void update(Bytes bytes);
  // Ends the hash; the Hasher is spent afterwards.
  std::vector<std::byte> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Lower-case hex of the hash of `bytes`.
std::string hash_hex(Algorithm algorithm, Bytes bytes);
// HMAC-SHA-256 (RFC 2104).
std::string hmac_sha256(std::string_view key, std::string_view message);
// Cryptographically random bytes as lower-case hex (2 * count characters).
std::string random_hex(std::size_t count);
// Equal without leaking where they differ.
bool constant_time_equal(std::string_view a, std::string_view b);

}  // namespace berth::crypto
