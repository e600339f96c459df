// Who we are: challenges, tokens, logins, and where secrets may go.
#include "remote/remote_fixture.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

using namespace std::chrono_literals;

class LoginTest : public RemoteTest {
 protected:
  LoginTest() {
    registry_.auth = FakeRegistry::Auth::kBearer;
    blob_ = registry_.add_blob("ai/x", "abc");
  }
  void log_in_with_identity() {
    Credential credential;
    credential.user = "me";
    credential.identity_token = Secret("CANARY-identity");
    log_in(std::move(credential));
  }
  Error login_error() { return loop_.run(open().check_login(op_)).error(); }
  oci::Descriptor blob_;
};

TEST_F(LoginTest, BasicWhenAsked) {
  registry_.auth = FakeRegistry::Auth::kBasic;
  log_in();
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(network_.requests[0].authorization(), "") << "not before it is asked for";
  EXPECT_EQ(network_.requests.size(), 2u);
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(network_.requests.size(), 3u) << "and remembered";
}

// What a server that speaks TLS answers to plain text.
struct WantsTls : http::Service {
  rt::Task<Result<http::Response>> handle(rt::Op&, http::Request) override {
    if (!broken.empty()) co_return fail(Code::kUnavailable, "{}", broken);
    co_return http::reply(400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n");
  }
  std::string broken;
};

TEST_F(LoginTest, ALoopbackRegistryThatSpeaksTlsIsSpokenToWithTls) {
  WantsTls plain;
  registry_.realm = "https://localhost:5000/token";
  network_.host("http://localhost:5000", plain, http::AddressKind::kLoopback);
  network_.host("https://localhost:5000", registry_, http::AddressKind::kLoopback);
  log_in();
  for (const char* broken : {"", "no HTTP answer"}) {
    for (const auto auth : {FakeRegistry::Auth::kBasic, FakeRegistry::Auth::kBearer}) {
      plain.broken = broken;
      registry_.auth = auth;
      network_.requests.clear();
      repo_.reset();
      EXPECT_EQ(fetch(blob_).value(), "abc");
      EXPECT_EQ(put("more").has_value(), true);
      ASSERT_GT(network_.requests.size(), 2u);
      for (std::size_t i = 0; i < network_.requests.size(); ++i) {
        const auto& seen = network_.requests[i];
        EXPECT_EQ(seen.url.scheme, i == 0 ? "http" : "https") << i;
        if (i < 2) EXPECT_EQ(seen.authorization(), "") << i;
      }
    }
  }
}

TEST_F(LoginTest, APlainRegistryStaysOne) {
  registry_.script.push_back({.method = "GET", .path_prefix = "/v2/", .status = 400});
  EXPECT_EQ(login_error().code(), Code::kInvalid) << "an honest 400";
  registry_.auth = FakeRegistry::Auth::kBasic;
  log_in();
  EXPECT_EQ(fetch(blob_).value(), "abc");
  for (const auto& seen : network_.requests) EXPECT_EQ(seen.url.scheme, "http");
}

TEST_F(LoginTest, TokenWithAPassword) {
  log_in();
  EXPECT_EQ(fetch(blob_).value(), "abc");
  ASSERT_EQ(network_.requests.size(), 3u);
  EXPECT_EQ(network_.requests[1].url.path, "/token");
  EXPECT_EQ(http::query_get(network_.requests[1].url.query, "service"), "fake");
  EXPECT_EQ(http::query_get(network_.requests[1].url.query, "scope"), "repository:ai/x:pull");
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(registry_.tokens_given, 1);
}

TEST_F(LoginTest, AnonymousToken) {
  registry_.anonymous_pull = true;
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(network_.requests[1].authorization(), "");
}

TEST_F(LoginTest, IdentityTokenIsExchangedByForm) {
  log_in_with_identity();
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(network_.requests[1].method, "POST");
  EXPECT_FALSE(network_.requests[1].url_text().contains("CANARY")) << "never in a URL";
}

TEST_F(LoginTest, AnOldTokenServerGetsItOtherwise) {
  log_in_with_identity();
  registry_.token_knows_post = false;
  registry_.password = "CANARY-identity";
  EXPECT_EQ(fetch(blob_).value(), "abc");
}

TEST_F(LoginTest, ARegistryTokenIsUsedAsItIs) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  Credential credential;
  credential.registry_token = Secret("CANARY-token-1");
  log_in(std::move(credential));
  EXPECT_EQ(fetch(blob_).error().code(), Code::kUnauthenticated) << "not one of the fake's tokens";
  EXPECT_EQ(network_.requests.back().authorization(), "Bearer CANARY-token-1");
  EXPECT_EQ(network_.count("GET", "/token"), 0u);
}

TEST_F(LoginTest, WrongPasswordsSayHowToLogIn) {
  log_in("me", "CANARY-wrong");
  const auto refused = fetch(blob_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnauthenticated);
  EXPECT_TRUE(refused.error().message().contains("berth login localhost:5000"))
      << refused.error().message();
  EXPECT_FALSE(refused.error().message().contains("CANARY")) << refused.error().message();
  EXPECT_EQ(network_.count("GET", "/token"), 1u) << "a wrong password is not tried again";
}

TEST_F(LoginTest, NobodySaysHowToLogIn) {
  for (const auto auth : {FakeRegistry::Auth::kBasic, FakeRegistry::Auth::kBearer}) {
    registry_.auth = auth;
    repo_.reset();
    const auto refused = fetch(blob_);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kUnauthenticated);
    EXPECT_TRUE(refused.error().message().contains("berth login localhost:5000"))
        << refused.error().message();
  }
}

TEST_F(LoginTest, ATokenThatDiesIsRenewed) {
  log_in();
  ASSERT_TRUE(fetch(blob_));
  registry_.revoke_tokens();
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(registry_.tokens_given, 2);
}

TEST_F(LoginTest, ATokenIsRenewedBeforeItExpires) {
  log_in();
  registry_.token_lifetime = 100;
  ASSERT_TRUE(fetch(blob_));
  clock_ += 80s;
  ASSERT_TRUE(fetch(blob_));
  EXPECT_EQ(registry_.tokens_given, 1);
  clock_ += 11s;
  ASSERT_TRUE(fetch(blob_));
  EXPECT_EQ(registry_.tokens_given, 2);
  EXPECT_EQ(network_.requests.size(), 6u) << "without another 401";
}

TEST_F(LoginTest, ATokenThatNeverSufficesEnds) {
  log_in();
  registry_.token_uses = 0;
  EXPECT_EQ(fetch(blob_).error().code(), Code::kUnauthenticated);
  EXPECT_LE(network_.requests.size(), 4u);
}

TEST_F(LoginTest, ScopesAreKeptApart) {
  log_in();
  ASSERT_TRUE(fetch(blob_));
  ASSERT_TRUE(put("other"));
  EXPECT_EQ(registry_.tokens_given, 2);
  ASSERT_TRUE(fetch(blob_));
  EXPECT_EQ(registry_.tokens_given, 2);
  EXPECT_TRUE(holds("other"));
}

TEST_F(LoginTest, TheChallengesScopeIsAskedForToo) {
  log_in();
  registry_.challenge_scope = "repository:prefix/ai/x:pull";
  ASSERT_TRUE(fetch(blob_));
  EXPECT_EQ(http::query_get_all(network_.requests[1].url.query, "scope"),
            (std::vector<std::string>{"repository:ai/x:pull", "repository:prefix/ai/x:pull"}));
}

rt::Task<Status> fetch_once(rt::Op& op, content::Fetcher& from, oci::Descriptor blob) {
  CO_TRY_OK(co_await fetch_all(op, from, blob, {}));
  co_return Status();
}
rt::Task<Status> fetch_often(rt::Loop& loop, rt::Op& op, content::Fetcher& from,
                             oci::Descriptor blob) {
  rt::Scope scope(loop);
  for (int i = 0; i < 20; ++i) scope.spawn(fetch_once(op, from, blob));
  co_return co_await scope.join();
}
TEST_F(LoginTest, ManyAtOnceFetchOneToken) {
  log_in();
  ASSERT_TRUE(loop_.run(fetch_often(loop_, op_, repo(), blob_)));
  EXPECT_EQ(registry_.tokens_given, 1);
}

// A token server whose answer waits until the test lets it go.
class SlowTokens : public http::Service {
 public:
  SlowTokens(rt::Loop& loop, FakeRegistry& registry) : registry_(registry), go(loop) {}
  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override {
    if (request.url.path == "/token") {
      ++asked;
      while (!open) CO_TRY_OK(co_await go.wait(op));
    }
    co_return co_await registry_.handle(op, std::move(request));
  }

 private:
  FakeRegistry& registry_;

 public:
  rt::Event go;
  int asked = 0;
  bool open = false;
};
rt::Task<Status> noted(Task<Status> work, Status& outcome) {
  outcome = co_await std::move(work);
  co_return Status();
}
rt::Task<Status> cancel_the_leader(rt::Loop& loop, SlowTokens& tokens, content::Fetcher& from,
                                   oci::Descriptor blob, Status& first, Status& second) {
  rt::Op leader("leader");
  rt::Op follower("follower");
  rt::Scope scope(loop);
  scope.spawn(noted(fetch_once(leader, from, blob), first));
  while (tokens.asked == 0) CO_TRY_OK(co_await rt::sleep_for(follower, 0ms));
  scope.spawn(noted(fetch_once(follower, from, blob), second));
  for (int i = 0; i < 10; ++i) CO_TRY_OK(co_await rt::sleep_for(follower, 0ms));
  leader.cancel();
  tokens.open = true;
  while (tokens.asked == 1) CO_TRY_OK(co_await rt::sleep_for(follower, 0ms));
  tokens.go.notify_all();
  co_return co_await scope.join();
}
TEST_F(LoginTest, WhoWaitsForATokenSurvivesTheOneWhoFetchedIt) {
  log_in();
  SlowTokens tokens(loop_, registry_);
  network_.host("http://localhost:5000", tokens, http::AddressKind::kLoopback);
  Status first;
  Status second;
  ASSERT_TRUE(loop_.run(cancel_the_leader(loop_, tokens, repo(), blob_, first, second)));
  EXPECT_EQ(first.error().code(), Code::kCancelled);
  EXPECT_TRUE(second) << second.error().message();
}

TEST_F(LoginTest, ATokenServerElsewhereGetsNothing) {
  log_in();
  FakeRegistry thief;
  network_.host("https://thief.example", thief);
  registry_.realm = "https://thief.example/token";
  const auto refused = fetch(blob_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kDenied);
  EXPECT_TRUE(
      refused.error().message().contains("token_hosts = [\"localhost:5000=thief.example\"]"))
      << refused.error().message();
  EXPECT_FALSE(network_.leaked("", {"localhost:5000"})) << "not even a connection";
}

TEST_F(LoginTest, ATokenServerThatTheUserAllowedIsAsked) {
  log_in();
  network_.host("https://login.corp", registry_, http::AddressKind::kPrivate);
  registry_.realm = "https://login.corp/token";
  options_.token_hosts = {"other=x", "localhost:5000=login.corp"};
  EXPECT_EQ(fetch(blob_).value(), "abc");
  registry_.realm = "http://login.corp/token";
  repo_.reset();
  EXPECT_EQ(fetch(blob_).error().code(), Code::kDenied) << "but not without TLS";
}

TEST_F(LoginTest, DockerHubsTokenServerIsKnown) {
  FakeRegistry hub;
  hub.auth = FakeRegistry::Auth::kBearer;
  hub.realm = "https://auth.docker.io/token";
  const auto blob = hub.add_blob("ai/x", "abc");
  network_.host("https://registry-1.docker.io", hub);
  network_.host("https://auth.docker.io", hub);
  log_in();
  EXPECT_EQ(loop_.run(fetch_all(op_, repo("docker.io"), blob, {})).value(), "abc");
}

TEST_F(LoginTest, RealmsThatWouldLeaveTlsOrTheNetworkAreRefused) {
  FakeRegistry remote;
  remote.auth = FakeRegistry::Auth::kBearer;
  const auto blob = remote.add_blob("ai/x", "abc");
  network_.host("https://registry.example", remote);
  network_.host("http://registry.example", remote);
  network_.host("http://169.254.169.254", remote, http::AddressKind::kLinkLocal);
  log_in();
  for (const char* realm : {"http://registry.example/token", "http://169.254.169.254/token",
                            "file:///etc/passwd", "", "//x"}) {
    remote.realm = realm;
    repo_.reset();
    const auto refused = loop_.run(fetch_all(op_, repo("registry.example"), blob, {}));
    ASSERT_FALSE(refused) << realm;
  }
  EXPECT_EQ(remote.tokens_given, 0);
}

TEST_F(LoginTest, ATokenServerOnAnotherPortOfTheHostIsFine) {
  log_in();
  network_.host("http://localhost:5001", registry_, http::AddressKind::kLoopback);
  registry_.realm = "http://localhost:5001/token";
  EXPECT_EQ(fetch(blob_).value(), "abc");
}

TEST_F(LoginTest, TokensThatAreNoneAreRefused) {
  log_in();
  for (const char* body : {"", "{}", "[]", R"({"token":""})", R"({"token":"CANARY\r\nX: y"})",
                           R"({"token":5})", "{\"token\":\"CANARY"}) {
    registry_.script.push_back(
        {.method = "GET", .path_prefix = "/token", .status = 200, .body = body});
    repo_.reset();
    const auto refused = fetch(blob_);
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().code(), Code::kCorrupt) << body;
    EXPECT_FALSE(refused.error().message().contains("CANARY")) << refused.error().message();
  }
  registry_.script.push_back(
      {.method = "GET", .path_prefix = "/token", .status = 200, .body = std::string(1 << 20, ' ')});
  repo_.reset();
  EXPECT_EQ(fetch(blob_).error().code(), Code::kTooLarge);
}

TEST_F(LoginTest, AccessTokenIsAnotherSpelling) {
  log_in();
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/token",
                              .status = 200,
                              .body = R"({"access_token":"CANARY-x"})"});
  EXPECT_FALSE(fetch(blob_));
  EXPECT_EQ(network_.requests.back().authorization(), "Bearer CANARY-x");
}

TEST_F(LoginTest, ABusyTokenServerIsWaitedFor) {
  log_in();
  registry_.script.push_back(
      {.method = "GET", .path_prefix = "/token", .status = 429, .headers = {{"Retry-After", "3"}}});
  EXPECT_EQ(fetch(blob_).value(), "abc");
  EXPECT_EQ(slept_, std::vector<std::chrono::milliseconds>{3s});
}

TEST_F(LoginTest, SecretsStayOutOfEveryMessage) {
  log_in_with_identity();
  registry_.identity_token = "another";
  const auto refused = fetch(blob_);
  ASSERT_FALSE(refused);
  EXPECT_FALSE(refused.error().message().contains("CANARY")) << refused.error().message();
  EXPECT_FALSE(refused.error().message().contains("another")) << "nor what the token server echoes";
}

TEST_F(LoginTest, ChecksALogin) {
  log_in();
  EXPECT_EQ(loop_.run(open().check_login(op_)).value(), Registry::Login::kAccepted);
  log_in("me", "CANARY-wrong");
  const Error refused = login_error();
  EXPECT_EQ(refused.code(), Code::kUnauthenticated);
  EXPECT_FALSE(refused.message().contains("CANARY"));
  registry_.auth = FakeRegistry::Auth::kBasic;
  EXPECT_EQ(login_error().code(), Code::kUnauthenticated);
  registry_.auth = FakeRegistry::Auth::kOpen;
  EXPECT_EQ(loop_.run(open().check_login(op_)).value(), Registry::Login::kNotAsked);
}

TEST_F(LoginTest, WhatIsNoRegistrySaysSo) {
  registry_.script.push_back(
      {.method = "GET", .path_prefix = "/v2/", .status = 404, .body = "<html>"});
  EXPECT_EQ(login_error().code(), Code::kNotFound);
}

TEST_F(LoginTest, RegistriesAreOpenedOnce) {
  Registries registries(loop_, options_);
  log_in();
  const auto a = registries.repository(
      {.registry = "localhost:5000", .repository = "ai/x", .tag = "a", .digest = {}});
  const auto b = registries.repository(
      {.registry = "LOCALHOST:5000", .repository = "ai/y", .tag = "a", .digest = {}});
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  EXPECT_EQ((*b)->name(), "ai/y");
  EXPECT_FALSE(registries.repository(
      {.registry = "localhost:5000", .repository = "A", .tag = "a", .digest = {}}));
}

}  // namespace
}  // namespace berth::remote
