#include "guard/signers.h"

#include "base/text.h"
#include "crypto/ed25519.h"
#include "guard/permissions.h"
#include "guard/user_file.h"

namespace berth::guard {
namespace {

constexpr std::string_view kType = "ssh-ed25519";
// Both parts of an SSH key's wire form carry their length in four bytes.
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kWireBytes = 4 + kType.size() + 4 + kKeyBytes;

// The raw key in the wire form of an SSH public key.
std::optional<std::string> raw_key(std::string_view coded) {
  const auto wire = base64_decode(coded);
  if (!wire || wire->size() != kWireBytes) return std::nullopt;
  const std::string prefix =
      std::string("\0\0\0\x0b", 4) + std::string(kType) + std::string("\0\0\0\x20", 4);
  if (!wire->starts_with(prefix)) return std::nullopt;
  return wire->substr(prefix.size());
}

}  // namespace

Result<Signers> Signers::load(const std::string& path) {
  TRY(const std::string text, read_user_file(path));
  return parse(text, path);
}

Result<Signers> Signers::parse(std::string_view text, std::string_view name) {
  Signers signers;
  int number = 0;
  for (const std::string& raw : split(text, '\n')) {
    ++number;
    const std::string_view line = trim(raw);
    if (line.empty() || line.starts_with('#')) continue;
    std::vector<std::string> words = split(line, ' ');
    std::erase(words, "");
    if (words.size() < 3 || words[0] == "*" || words[0] == kAnonymous || words[1] != kType ||
        !raw_key(words[2])) {
      return fail(Code::kInvalid, "{} line {} is not NAME ssh-ed25519 KEY", name, number);
    }
    signers.names_.insert_or_assign(words[2], words[0]);
  }
  return signers;
}

std::optional<std::string> Signers::signer(std::string_view credentials,
                                           std::string_view message) const {
  const std::size_t colon = credentials.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto known = names_.find(credentials.substr(0, colon));
  if (known == names_.end()) return std::nullopt;
  const auto key = raw_key(known->first);
  const auto signature = base64_decode(credentials.substr(colon + 1));
  if (!key || !signature ||
      !crypto::verify_ed25519(as_bytes(*key), as_bytes(message), as_bytes(*signature)))
    return std::nullopt;
  return known->second;
}

}  // namespace berth::guard
