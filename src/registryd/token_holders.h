// Who holds a token that `berth token create` made, and what it allows in a registry.
//
// Loop thread. The file is looked at again no more often than once a second, so a token that was
// revoked is good for that long; one that is not known makes it look at once. Failure: kCorrupt
// when the file cannot be read (nobody gets in by a token then).
#pragma once

#include <optional>
#include <string>

#include "guard/guard.h"
#include "guard/permissions.h"
#include "rt/async.h"
#include "rt/loop.h"

namespace berth::registryd {

// A token without its secret.
struct Holder {
  std::string id;
  std::string name;
  guard::Actions actions;  // in any repository
  bool owns = false;       // what concerns the whole registry
  std::optional<guard::Time> expires;
};

class TokenHolders {
 public:
  TokenHolders(rt::Loop& loop, std::string folder) : loop_(loop), folder_(std::move(folder)) {}

  // nullopt: nobody holds such a token.
  rt::Task<Result<std::optional<Holder>>> holder_of(rt::Op& op, std::string secret);
  // The token of this id, when it was not revoked and expired at most `late` ago.
  rt::Task<Result<std::optional<Holder>>> by_id(rt::Op& op, std::string id,
                                                std::chrono::seconds late);

 private:
  enum class Freshness { kOfLastSecond, kNow };
  rt::Task<Status> refresh(Freshness wanted);

  rt::Loop& loop_;
  std::string folder_;
  guard::TokenSet tokens_;
  std::optional<std::string> stamp_;  // nullopt: nothing was read yet
  rt::SteadyTime refreshed_{};
};

}  // namespace berth::registryd
