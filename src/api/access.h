// Who a caller is: the rules of the listener's side, and the tokens. Private to api.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/api.h"
#include "guard/guard.h"
#include "http/network.h"
#include "rt/loop.h"

namespace berth::api {

class Access {
 public:
  Access(rt::Loop& loop, AccessRules rules);

  void reconfigure(AccessRules rules);
  bool is_proxy(const std::string& peer) const;
  // nullopt: a caller who has shown no token that is valid. kDenied for a peer that may not call at
  // all.
  rt::Task<Result<std::optional<guard::Principal>>> identify(rt::Op& op,
                                                             const http::Request& request);

 private:
  bool needs_token(const http::Request& request) const;
  enum class Freshness { kOfLastSecond, kNow };
  rt::Task<Status> refresh(Freshness wanted);
  rt::Task<Result<std::optional<guard::Principal>>> find(std::string token);

  rt::Loop& loop_;
  AccessRules rules_;
  std::vector<http::Network> proxies_;
  guard::TokenSet tokens_;
  std::string stamp_;
  rt::SteadyTime refreshed_{};
};

}  // namespace berth::api
