#include "oci/digest.h"

namespace berth::oci {
namespace {

struct Known {
  std::string_view name;
  crypto::Algorithm algorithm;
  std::size_t hex_length;
};

constexpr Known kKnown[] = {{"sha256", crypto::Algorithm::kSha256, 64},
                            {"sha512", crypto::Algorithm::kSha512, 128}};

const Known* find_known(std::string_view name) {
  for (const Known& known : kKnown) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const Known* known =
      colon == std::string_view::npos ? nullptr : find_known(text.substr(0, colon));
  if (!known) {
    return fail(Code::kInvalid,
                "\"{}\" is not a digest of a known algorithm (sha256:… or sha512:…)",
                printable(text, 80));
  }
  const std::string_view hex = text.substr(colon + 1);
  if (hex.size() != known->hex_length || !is_lower_hex(hex)) {
    return fail(Code::kInvalid, "\"{}\" is not a {} digest: it needs {} lower-case hex characters",
                printable(text, 80), known->name, known->hex_length);
  }
  return Digest(std::string(text));
}

namespace {

Digest hashed(Bytes bytes, crypto::Algorithm algorithm) {
  crypto::Hasher hasher(algorithm);
  hasher.update(bytes);
  return Digest::from_hash(algorithm, hasher.finish());
}

}  // namespace

Digest Digest::of(Bytes bytes, crypto::Algorithm algorithm) {
  if (!bytes.empty() || algorithm != crypto::Algorithm::kSha256) return hashed(bytes, algorithm);
  // What records hold before they are filled; a listing makes thousands.
  static const Digest nothing = hashed({}, algorithm);
  return nothing;
}

Digest Digest::from_hash(crypto::Algorithm algorithm, Bytes hash) {
  return Digest((algorithm == crypto::Algorithm::kSha256 ? "sha256:" : "sha512:") +
                hex_encode(hash));
}

std::string_view Digest::algorithm_name() const {
  return std::string_view(text_).substr(0, text_.find(':'));
}
crypto::Algorithm Digest::algorithm() const { return find_known(algorithm_name())->algorithm; }
std::string_view Digest::hex() const { return std::string_view(text_).substr(text_.find(':') + 1); }

std::string Digest::path() const {
  std::string path(algorithm_name());
  path += '/';
  return path += hex();
}

}  // namespace berth::oci
