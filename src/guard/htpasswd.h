// Users and password hashes of a file as htpasswd writes it: "name:hash" a line.
//
// Hashes are bcrypt ("htpasswd -B"), yescrypt or SHA-512 crypt, checked by libxcrypt, or Argon2id
// (argon2.h); plain text, MD5 and SHA-1 are refused when the file is read. is_right() is slow on
// purpose: call it from the pool. Failures: kInvalid naming the line, those of fs.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret.h"

namespace berth::guard {

class Htpasswd {
 public:
  static Result<Htpasswd> load(const std::string& path);
  static Result<Htpasswd> parse(std::string_view text, std::string_view name);

  // Takes as long for a user that does not exist as for the first one who does.
  bool is_right(const std::string& user, const Secret& password) const;
  std::size_t size() const { return hashes_.size(); }

 private:
  std::map<std::string, std::string> hashes_;
  std::string other_;  // what somebody who is no user is checked against
};

}  // namespace berth::guard
