// Who a caller is: the rules of the listener's side, and the tokens. Private to api.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "api/api.h"
#include "guard/guard.h"
#include "rt/loop.h"

namespace berth::api {

// A network in CIDR notation; IPv4 counts as its IPv6-mapped form. A bare address is a network of
// one.
class Network {
 public:
  static Result<Network> parse(std::string_view text);
  bool contains(std::string_view address) const;

 private:
  std::array<unsigned char, 16> address_{};
  unsigned prefix_ = 0;
};

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
  std::vector<Network> proxies_;
  guard::TokenSet tokens_;
  std::string stamp_;
  rt::SteadyTime refreshed_{};
};

}  // namespace berth::api
