// Knows what to put into Authorization for one registry: nothing, Basic, or a bearer token for a
// scope.
//
// Loop thread. Learns from the challenges of 401 answers; tokens are kept per scope and renewed
// before they expire; one scope is fetched once however many wait. Secrets go to the registry's
// origin (Basic) and to its token server, which must be on the registry's host or on one that is
// allowed for it. Failures: kUnauthenticated (refused credential), kDenied (a token server
// elsewhere, a refused address), kCorrupt (an answer that is no token), kUnavailable. Source:
// distribution's token and OAuth2 documents; facts/oci.md A6.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "remote/challenge.h"
#include "remote/patience.h"
#include "remote/scope.h"
#include "remote/wire.h"
#include "rt/async.h"

namespace berth::remote {

class Authorizer {
 public:
  struct Settings {
    std::string registry;  // as the user calls it: the key of credentials and of `berth login`
    Credentials* credentials = nullptr;
    std::vector<std::string> token_hosts;  // allowed besides the registry's own
    RetrySettings retry;
  };
  Authorizer(rt::Loop& loop, Wire& wire, Settings settings)
      : loop_(loop), wire_(wire), settings_(std::move(settings)) {}

  // The header value for a request with these scopes in this repository; empty when nothing was
  // asked for yet.
  rt::Task<Result<Secret>> authorization(rt::Op& op, std::string repository, ScopeSet scopes);

  // A 401 came for a request that carried `sent`. True: ask authorization() again and repeat the
  // request. False: there is nothing better to send.
  rt::Task<Result<bool>> challenged(rt::Op& op, http::Headers headers, std::string repository,
                                    ScopeSet scopes, Secret sent);

 private:
  struct Token {
    ScopeSet scopes;
    Secret value;
    rt::SteadyTime renew_at;
  };
  // A fetch that others wait for.
  struct Flight {
    explicit Flight(rt::Loop& loop) : done(loop) {}
    rt::Event done;
    bool finished = false;
    std::optional<Error> failure;
  };
  enum class Mode { kOpen, kBasic, kBearer };
  enum class Grant {
    kPassword,
    kRefresh
  };  // GET with Basic or nothing; OAuth2 POST with a refresh token

  const Token* token_for(const ScopeSet& scopes);
  void keep(Token token);
  void forget(const Secret& sent);
  rt::Task<Result<std::optional<Credential>>> credential(rt::Op& op, std::string repository);
  rt::Task<Result<Secret>> basic(rt::Op& op, std::string repository);
  rt::Task<Result<Secret>> bearer(rt::Op& op, std::string repository, ScopeSet scopes);
  rt::Task<Status> join_or_fetch(rt::Op& op, std::string repository, ScopeSet scopes);
  rt::Task<Result<Token>> fetch_token(rt::Op& op, std::string repository, ScopeSet scopes);
  rt::Task<Result<http::Response>> ask_token_server(rt::Op& op, std::optional<Credential> login,
                                                    Grant grant, ScopeSet scopes);
  http::Request token_request(const std::optional<Credential>& login, Grant grant,
                              const ScopeSet& scopes) const;
  rt::Task<Result<bool>> renew_bearer(rt::Op& op, std::string repository, ScopeSet scopes,
                                      std::string asked, Secret sent);
  Status learn_bearer(const Challenge& challenge);
  bool user_allows(const std::string& host) const;

  rt::Loop& loop_;
  Wire& wire_;
  Settings settings_;
  Mode mode_ = Mode::kOpen;
  http::Url realm_;
  std::string service_;
  std::vector<Token> tokens_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  std::map<std::string, std::optional<Credential>> credentials_;
};

}  // namespace berth::remote
