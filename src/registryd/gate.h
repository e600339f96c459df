// Who calls a registry, and what they may do: users with passwords, tokens of `berth token`, the
// registry's own short-lived tokens, rules by repository, limits by client. Where neither users nor
// tokens are asked for, everybody may do everything.
//
// Loop thread; passwords are checked on the pool and the outcome is remembered for a minute.
// Source: RFC 9110 section 11, RFC 7617, facts/oci.md A6.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guard/htpasswd.h"
#include "guard/permissions.h"
#include "guard/registry_token.h"
#include "guard/signers.h"
#include "http/message.h"
#include "http/network.h"
#include "registryd/limits.h"
#include "registryd/range.h"
#include "registryd/token_holders.h"
#include "rt/async.h"
#include "rt/loop.h"

namespace berth::registryd {

struct GateSettings {
  std::string htpasswd;                   // file; "" = no users with passwords
  std::string tokens;                     // folder of tokens.json (guard/guard.h); "" = none
  std::vector<std::string> rules;         // guard/permissions.h; none = users may do everything
  bool anonymous_pull = false;            // everybody may pull everything
  std::vector<std::string> behind_proxy;  // only these networks may call, and they authenticate
  std::string ollama_keys;                // file of keys (guard/signers.h); "" = none
  std::string key;                        // signs tokens
  ClientLimits limits;
};

// What is known of a caller.
struct Caller {
  std::string subject{guard::kAnonymous};
  bool everything = false;                    // no rules apply
  const guard::Permissions* rules = nullptr;  // of the gate
  std::optional<guard::RegistryToken> token;  // grants no more than it says
  std::optional<Holder> holder;               // of a token of `berth token`, which bounds as well

  guard::Actions of(std::string_view repository) const;
  // Without what a short-lived token narrows: another one could be asked for.
  guard::Actions at_most(std::string_view repository) const;
  // In one repository or another, without what a short-lived token narrows.
  guard::Actions anywhere() const;
  // Whether what concerns the whole registry is theirs to do, as far as their credentials say.
  bool may_own() const { return !holder || holder->owns; }
  // Whether it is listed for them.
  bool sees(std::string_view repository) const;
  // What they may do in every repository.
  guard::Actions everywhere() const;
  bool is_known() const { return everything || subject != guard::kAnonymous; }
};

class Gate {
 public:
  // Blocking: reads the file of users.
  static Result<std::unique_ptr<Gate>> open(rt::Loop& loop, GateSettings settings);
  // Blocking. The old users stay when it fails.
  Status reload();

  bool is_open() const { return !asks() && proxies_.empty(); }
  // A failure is the refusal's: kUnauthenticated for a wrong password or token, kDenied for a peer
  // that may not call or a token that is for something else, kRateLimited for an address that
  // guesses too fast. With `late` a token that ran out not long ago is still good: it began what
  // goes on.
  enum class Late { kRefuse, kAccept };
  rt::Task<Result<Caller>> identify(rt::Op& op, const http::Request& request, Late late);
  // Whose request it is for the limits: a user by name, anybody else by address. nullptr: nobody
  // knows yet.
  std::string client_of(const http::Request& request, const Caller* caller) const;
  Limits& limits() { return limits_; }
  // kRateLimited when this client asks too often.
  Status admit(const std::string& client, Limits::Repeat repeat = Limits::Repeat::kPossible) {
    return limits_.take_request(client, std::chrono::steady_clock::now(), repeat);
  }
  // Where a request comes from: the peer, or who called the proxies before it.
  std::string address_of(const http::Request& request) const;
  // The registry as this request named it: "https://models.example".
  std::string origin_of(const http::Request& request) const;
  // 401, naming where to get a token and for what. `scope` may be empty.
  http::Response challenge(const http::Request& request, std::string_view scope,
                           std::string_view message) const;
  // The token endpoint: GET with Basic credentials, or an OAuth2 password form.
  rt::Task<Result<http::Response>> give_token(rt::Op& op, http::Request request);
  // An address at which a blob can be had without credentials for some minutes: Ollama fetches the
  // parts of a blob without any. As a path with a query; just the path where nobody logs in.
  std::string open_address(const http::Request& request) const;
  // Whether a request came to such an address that is still good.
  bool is_open_address(const http::Request& request) const;
  // Where a piece of an upload can be sent without credentials for some minutes, absolute: Ollama
  // sends its pieces there (facts/oci.md B4).
  std::string piece_address(const http::Request& request, ByteSpan span) const;
  bool is_piece_address(const http::Request& request) const;
  // "https://registry.example", as the caller named us.
  static constexpr std::string_view kTokenPath = "/v2/_berth/token";

 private:
  Gate(rt::Loop& loop, GateSettings settings)
      : loop_(loop),
        settings_(std::move(settings)),
        limits_(settings_.limits),
        checks_(loop, kChecksAtOnce) {}
  // Whether callers have to say who they are.
  bool asks() const { return users_ || holders_; }
  rt::Task<Result<Caller>> log_in(rt::Op& op, std::string user, Secret password);
  rt::Task<bool> is_right(rt::Op& op, std::string user, Secret password);
  rt::Task<Result<Caller>> who(rt::Op& op, const http::Request& request, Late late);
  rt::Task<Result<Caller>> bearer(rt::Op& op, std::string text, Late late);
  rt::Task<Result<std::optional<Caller>>> holder_of(rt::Op& op, std::string secret);
  Caller caller_of(std::string subject) const;
  http::Response token_reply(const Caller& caller, const std::vector<std::string>& scopes) const;
  bool is_proxy(std::string_view peer) const;
  // For the limits: of an address, or of its network.
  std::string network_of(const http::Request& request) const {
    return http::client_network(address_of(request));
  }
  std::string realm_of(const http::Request& request) const;
  std::optional<std::string> signer_of(const http::Request& request) const;
  std::string sealed(std::string path) const;
  bool is_sealed(std::string_view path, const http::Request& request) const;
  std::string seal_of(std::string_view path, std::string_view until) const;

  static constexpr std::size_t kChecksAtOnce = 2;  // a password costs a core for milliseconds

  rt::Loop& loop_;
  GateSettings settings_;
  Limits limits_;
  std::optional<TokenHolders> holders_;
  std::shared_ptr<const guard::Htpasswd> users_;
  std::optional<guard::Signers> signers_;
  guard::Permissions permissions_;
  std::vector<http::Network> proxies_;
  rt::Limiter checks_;
  std::map<std::string, rt::SteadyTime> right_;  // hash of user and password -> until when
};

}  // namespace berth::registryd
