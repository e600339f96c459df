// People known by an SSH key: who signed a request. One line each: NAME ssh-ed25519 KEY [comment],
// the public key as ~/.ollama/id_ed25519.pub has it.
//
// load() blocks. Failures: kInvalid naming the line, those of fs. Source: facts/oci.md B4 (Ollama's
// auth.go), RFC 4253 section 6.6, RFC 8709.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::guard {

class Signers {
 public:
  static Result<Signers> load(const std::string& path);
  static Result<Signers> parse(std::string_view text, std::string_view name);

  // Whose signature "KEY:SIGNATURE" (both base64) over `message` is; nullopt: nobody's that is
  // known.
  std::optional<std::string> signer(std::string_view credentials, std::string_view message) const;

 private:
  std::map<std::string, std::string, std::less<>> names_;  // by the key's base64
};

}  // namespace berth::guard
