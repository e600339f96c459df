// A content digest: algorithm and hex, valid by construction. Value type, thread-safe.
//
// Grammar (image-spec descriptor.md, registered algorithms): "sha256:" 64 lower-case hex or
// "sha512:" 128. The string is safe to join into a path.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "crypto/hash.h"

namespace berth::oci {

class Digest {
 public:
  // kInvalid unless the whole text is a digest of a known algorithm.
  static Result<Digest> parse(std::string_view text);
  static Digest of(Bytes bytes, crypto::Algorithm algorithm = crypto::Algorithm::kSha256);
  static Digest from_hash(crypto::Algorithm algorithm, Bytes hash);

  const std::string& string() const { return text_; }  // "sha256:…"
  std::string_view algorithm_name() const;             // "sha256"
  crypto::Algorithm algorithm() const;
  std::string_view hex() const;
  // As docker prints ids.
  std::string short_hex() const { return std::string(hex().substr(0, 12)); }
  std::string path() const;  // "sha256/<hex>"

  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace berth::oci

template <>
struct std::hash<berth::oci::Digest> {
  std::size_t operator()(const berth::oci::Digest& digest) const {
    return std::hash<std::string>()(digest.string());
  }
};
