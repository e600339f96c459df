// Who may do what: scopes, principals, bearer tokens in a file, and the decision.
//
// decide() and TokenSet are pure; TokenFile blocks. A token is 256 random bits; the file holds only
// its SHA-256. A slow password hash would add nothing: it protects secrets that can be guessed, and
// 256 random bits cannot. Failures: kInvalid (name, scope), kDenied (others may write the file),
// kCorrupt, those of fs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/secret.h"
#include "fs/file.h"

namespace berth::guard {

using Time = std::chrono::sys_seconds;

enum class Scope : std::uint8_t {
  kRead,       // lists, inspection, status, metrics
  kInference,  // chat, completions, embeddings, rerank
  kManage,     // pull, push, load, tag, remove, unload, configure
  kAdmin,      // everything, and logs, recorded prompts, engines' installation
};
std::string_view to_string(Scope scope);
Result<Scope> parse_scope(std::string_view name);

// A set of scopes. kAdmin implies the others; kManage and kInference imply kRead.
class Scopes {
 public:
  Scopes() = default;
  static Scopes of(const std::vector<Scope>& scopes);
  static Scopes all() { return of({Scope::kAdmin}); }
  bool allows(Scope needed) const { return (bits_ & bit(needed)) != 0; }

 private:
  static constexpr std::uint8_t bit(Scope scope) {
    return static_cast<std::uint8_t>(1u << static_cast<unsigned>(scope));
  }
  std::uint8_t bits_ = 0;
};

// Whoever makes a request.
struct Principal {
  std::string name;  // of the token; "local" for a caller on this machine who needs none
  Scopes scopes;
};

// kUnauthenticated without a principal, kDenied naming the scope that is missing.
Status decide(const std::optional<Principal>& principal, Scope needed);

struct Token {
  std::string id;    // the first 12 characters of `hash`; public
  std::string name;  // for people
  std::string hash;  // SHA-256 of the token, hex
  std::vector<Scope> scopes;
  std::optional<Time> created;
  std::optional<Time> expires;
};

// All tokens at one moment.
class TokenSet {
 public:
  explicit TokenSet(std::vector<Token> tokens = {}) : tokens_(std::move(tokens)) {}
  // Whose token this is, unless it is unknown or has expired. Takes as long for a wrong token as
  // for a right one.
  std::optional<Principal> find(std::string_view token, Time now) const;
  const Token* find_token(std::string_view token, Time now) const;
  // Also one that has expired.
  const Token* by_id(std::string_view id) const;
  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  std::vector<Token> tokens_;
};

// What every token begins with.
inline constexpr std::string_view kTokenPrefix = "berth_";

// "Bearer x" of an Authorization header -> x; nullopt for other schemes.
std::optional<std::string_view> bearer_token(std::string_view authorization);

// tokens.json in the data folder, 0600, changed under a lock and by replacement.
class TokenFile {
 public:
  explicit TokenFile(std::string folder) : folder_(std::move(folder)) {}

  struct Created {
    Token token;
    Secret secret;  // "berth_…", shown once
  };
  // Without scopes: inference and read.
  Result<Created> create(std::string name, std::vector<std::string> scopes,
                         std::optional<std::chrono::seconds> lifetime, Time now);
  Result<TokenSet> load() const;
  // False when there was no such token.
  Result<bool> revoke(std::string_view id);
  // Differs when the file has changed; "" while there is none.
  Result<std::string> stamp() const;

 private:
  Result<std::optional<fs::Dir>> existing_folder() const;
  Status save(const fs::Dir& folder, const std::vector<Token>& tokens) const;

  std::string folder_;
};

}  // namespace berth::guard
