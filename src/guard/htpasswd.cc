#include "guard/htpasswd.h"

#include <crypt.h>
#include <memory>

#include "base/text.h"
#include "crypto/hash.h"
#include "guard/argon2.h"
#include "guard/permissions.h"
#include "guard/user_file.h"

namespace berth::guard {
namespace {

constexpr std::size_t kLongestPassword = 1024;
// bcrypt of nobody's password, at htpasswd's default cost: what is checked where there are no
// users.
constexpr const char* kNobody = "$2y$05$PEEbC3R4VMuJh8B5ovf0zOh2JDmYRDVw0k30XHku2aWiFTfrcyw.G";

bool is_slow_hash(std::string_view hash) {
  for (const std::string_view prefix : {"$2y$", "$2b$", "$2a$", "$y$", "$6$"})
    if (hash.starts_with(prefix)) return true;
  return false;
}

bool matches(const std::string& password, const std::string& hash) {
  if (Argon2::is_one(hash)) {
    const auto argon2 = Argon2::parse(hash);
    return argon2 && argon2->matches(password);
  }
  const auto data = std::make_unique<crypt_data>();  // 32 KiB
  const char* made = ::crypt_rn(password.c_str(), hash.c_str(), data.get(), sizeof(crypt_data));
  return made != nullptr && crypto::constant_time_equal(made, hash);
}

}  // namespace

Result<Htpasswd> Htpasswd::load(const std::string& path) {
  TRY(const std::string text, read_user_file(path));
  return parse(text, path);
}

Result<Htpasswd> Htpasswd::parse(std::string_view text, std::string_view name) {
  Htpasswd users;
  users.other_ = kNobody;
  int number = 0;
  for (const std::string& raw : split(text, '\n')) {
    ++number;
    const std::string_view line = trim(raw);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t colon = line.find(':');
    const std::string user(line.substr(0, colon));
    if (colon == std::string_view::npos || user.empty() || user == "*" || user == kAnonymous)
      return fail(Code::kInvalid, "{} line {} is not NAME:HASH", name, number);
    const std::string hash(line.substr(colon + 1));
    if (Argon2::is_one(hash)) {
      const auto argon2 = Argon2::parse(hash);
      if (!argon2) {
        return fail(Code::kInvalid, "{} line {}: the Argon2 hash of {} cannot be used: {}", name,
                    number, printable(user, 60), argon2.error().message());
      }
    } else if (!is_slow_hash(hash)) {
      return fail(Code::kInvalid,
                  "{} line {}: the password of {} is not hashed with bcrypt or argon2id; write it "
                  "anew with: "
                  "htpasswd -B {} {}",
                  name, number, printable(user, 60), name, printable(user, 60));
    }
    if (users.hashes_.empty()) users.other_ = hash;
    users.hashes_.insert_or_assign(user, hash);
  }
  return users;
}

bool Htpasswd::is_right(const std::string& user, const Secret& password) const {
  if (password.reveal().size() > kLongestPassword) return false;
  const auto found = hashes_.find(user);
  const bool known = found != hashes_.end();
  const std::string& hash = known ? found->second : other_;
  return matches(password.reveal(), hash) && known;
}

}  // namespace berth::guard
