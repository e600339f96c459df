#include "registryd/gate.h"

#include <fstream>
#include <gtest/gtest.h>

#include "atlas/atlas.h"
#include "base/text.h"
#include "depot/depot_fixture.h"
#include "guard/guard.h"
#include "metrics/metrics.h"
#include "registryd/registry.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kKey = "key of the test";
constexpr std::string_view kService = "berth-registry";
// htpasswd -nbB alice secret
constexpr std::string_view kUsers =
    "alice:$2y$05$P.3nIz2TOG3rRI3Bnwsyj.VdUvIsrd0wLppGUMgBcmYhMA6rPd4Ue\n";

std::chrono::sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// A token of this registry's, for one repository.
std::string token_of(std::string subject, guard::Actions actions, std::chrono::seconds lives) {
  return guard::sign({.subject = std::move(subject),
                      .issued = now() - std::chrono::minutes(10),
                      .expires = now() + lives,
                      .access = {{"team/x", actions}}},
                     kService, kKey);
}

class GateTest : public depot::DepotTest {
 public:
  void SetUp() override {
    depot::DepotTest::SetUp();
    std::ofstream(folder_.path() + "/users") << kUsers;
    start({.htpasswd = folder_.path() + "/users", .key = std::string(kKey)});
  }
  void start(GateSettings settings) {
    registry_.reset();
    atlas_.emplace(*loop_, seam(), atlas::Check::kOff);
    gate_ = Gate::open(*loop_, std::move(settings)).value();
    registry_.emplace(seam(), atlas_.value(), *gate_, metrics_, Options{});
  }
  http::Response call(std::string method, std::string path, std::string authorization = "",
                      std::string body = "") {
    http::Request request{.method = std::move(method)};
    const std::size_t question = path.find('?');
    request.url.path = path.substr(0, question);
    if (question != std::string::npos) request.url.query = path.substr(question + 1);
    request.headers.set("Host", "registry.example");
    request.peer = peer_;
    if (!authorization.empty()) request.headers.set("Authorization", authorization);
    for (const auto& [name, value] : headers_) request.headers.set(name, value);
    if (!body.empty())
      request.body = http::Body(std::make_unique<depot::FakeBody>(*loop_, body), body.size());
    return run(registry_->handle(op_, std::move(request))).value();
  }
  static std::string bearer(const std::string& token) { return "Bearer " + token; }
  static std::string basic(std::string_view text) {
    return "Basic " + base64_encode(as_bytes(text));
  }

  // A token of `berth token`, as text.
  std::string make_token(std::string name, std::vector<std::string> scopes,
                         std::optional<std::chrono::seconds> lives = std::nullopt,
                         std::chrono::seconds ago = std::chrono::seconds(0)) {
    auto made = guard::TokenFile(folder_.path())
                    .create(std::move(name), std::move(scopes), lives, now() - ago);
    EXPECT_TRUE(made) << made.error().message();
    id_ = made->token.id;
    return made->secret.reveal();
  }
  void start_with_tokens(bool users, std::vector<std::string> rules = {}, bool anonymous = false) {
    start({.htpasswd = users ? folder_.path() + "/users" : "",
           .tokens = folder_.path(),
           .rules = std::move(rules),
           .anonymous_pull = anonymous,
           .key = std::string(kKey)});
  }
  // The short-lived token that the token endpoint gives.
  std::string exchange(const std::string& credentials, const std::string& scope) {
    const auto response = call("GET", "/v2/_berth/token?scope=" + scope, credentials);
    EXPECT_EQ(response.status, 200);
    const std::string& text = std::get<std::string>(response.body.content);
    const std::size_t begin = text.find(':') + 2;
    return bearer(text.substr(begin, text.find('"', begin) - begin));
  }
  int push(const std::string& credentials) {
    return call("POST", "/v2/team/x/blobs/uploads/", credentials).status;
  }
  int pull(const std::string& credentials) {
    return call("GET", "/v2/team/x/tags/list", credentials).status;
  }
  int collect(const std::string& credentials) {
    return call("POST", "/v2/_berth/collect", credentials).status;
  }

  std::string id_;
  std::string peer_ = "192.0.2.1";
  std::vector<std::pair<std::string, std::string>> headers_;  // of each request
  metrics::Registry metrics_;
  std::unique_ptr<Gate> gate_;
  std::optional<atlas::Atlas> atlas_;
  std::optional<Registry> registry_;
};

TEST_F(GateTest, AsksForALoginWhereOneIsNeeded) {
  const auto response = call("GET", "/v2/team/x/tags/list");
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.headers.get("WWW-Authenticate"),
            "Bearer realm=\"http://registry.example/v2/_berth/token\",service=\"berth-registry\","
            "scope=\"repository:team/x:pull\"");
  EXPECT_EQ(call("GET", "/v2/", basic("alice:secret")).status, 200);
  EXPECT_EQ(call("GET", "/v2/", basic("alice:secret")).status, 200);  // remembered
  EXPECT_EQ(call("GET", "/v2/", basic("alice:wrong")).status, 401);
  EXPECT_EQ(call("GET", "/v2/", basic("bob:secret")).status, 401);
}

TEST_F(GateTest, AnUploadOutlivesTheTokenThatBeganIt) {
  const auto all = guard::Actions::all();
  const std::string fresh = bearer(token_of("alice", all, std::chrono::minutes(5)));
  const std::string expired = bearer(token_of("alice", all, std::chrono::seconds(-60)));
  const std::string ancient = bearer(token_of("alice", all, std::chrono::hours(-25)));
  const auto begun = call("POST", "/v2/team/x/blobs/uploads/", fresh);
  ASSERT_EQ(begun.status, 202);
  const std::string place(*begun.headers.get("Location"));
  EXPECT_EQ(call("PATCH", place, expired, "hello").status, 202);
  EXPECT_EQ(call("GET", place, expired).status, 204);
  EXPECT_EQ(call("PATCH", place, ancient, "x").status, 401);
  const std::string digest = oci::Digest::of(as_bytes("hello")).string();
  EXPECT_EQ(call("PUT", place + "?digest=" + digest, expired).status, 201);
  // Nothing else is open to it.
  EXPECT_EQ(call("GET", "/v2/team/x/blobs/" + digest, expired).status, 401);
  EXPECT_EQ(call("POST", "/v2/team/x/blobs/uploads/", expired).status, 401);
}

TEST_F(GateTest, ATokenGrantsWhatItSaysAndNoMoreThanTheRulesDo) {
  using enum guard::Action;
  const auto pull = bearer(token_of("alice", guard::Actions::of({kPull}), std::chrono::minutes(5)));
  EXPECT_EQ(call("POST", "/v2/team/x/blobs/uploads/", pull).status, 401);
  EXPECT_EQ(call("POST", "/v2/team/y/blobs/uploads/", pull).status, 401);
  EXPECT_EQ(call("GET", "/v2/team/x/tags/list", pull).status, 404);
  start({.htpasswd = folder_.path() + "/users",
         .rules = {"alice pull **"},
         .key = std::string(kKey)});
  const auto all =
      bearer(token_of("alice", guard::Actions::all(), std::chrono::minutes(5)));  // made before
  EXPECT_EQ(call("POST", "/v2/team/x/blobs/uploads/", all).status, 403);
  const std::string forged =
      guard::sign({.subject = "alice", .expires = now() + std::chrono::hours(1)}, kService, "else");
  EXPECT_EQ(call("GET", "/v2/", bearer(forged)).status, 401);
}

TEST_F(GateTest, GivesTokensToThoseWhoLogIn) {
  const auto response =
      call("GET", "/v2/_berth/token?scope=repository:team/x:pull,push", basic("alice:secret"));
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get("Cache-Control"), "no-store");
  const std::string& text = std::get<std::string>(response.body.content);
  const std::size_t begin = text.find(':') + 2;
  const auto token =
      guard::verify(text.substr(begin, text.find('"', begin) - begin), kService, kKey);
  ASSERT_TRUE(token) << text;
  EXPECT_EQ(token->subject, "alice");
  EXPECT_TRUE(token->of("team/x").allows(guard::Action::kMove));
  EXPECT_FALSE(token->of("team/x").allows(guard::Action::kDelete));
  EXPECT_EQ(call("POST", "/v2/_berth/token", "",
                 "grant_type=password&username=alice&password=secret&scope=repository:a:pull")
                .status,
            200);
  EXPECT_EQ(
      call("POST", "/v2/_berth/token", "", "grant_type=password&username=alice&password=no").status,
      401);
  EXPECT_EQ(call("POST", "/v2/_berth/token", "", "grant_type=refresh_token").status, 400);
}

TEST_F(GateTest, ATokenDoesWhatItsScopesSay) {
  start_with_tokens(false);
  struct Row {
    std::vector<std::string> scopes;
    int pull;
    int push;
    int collect;
  };
  const Row rows[] = {
      {{"read"}, 404, 403, 403},
      {{"manage"}, 404, 202, 403},
      {{"admin"}, 404, 202, 200},
      {{"inference"}, 403, 403, 403},
      {{"inference", "read"}, 404, 403, 403},
  };
  for (const Row& row : rows) {
    const std::string token = make_token("ci", row.scopes);
    for (const std::string& credentials : {bearer(token), basic("ci:" + token)}) {
      EXPECT_EQ(pull(credentials), row.pull) << row.scopes[0];
      EXPECT_EQ(push(credentials), row.push) << row.scopes[0];
      EXPECT_EQ(collect(credentials), row.collect) << row.scopes[0];
    }
    EXPECT_EQ(pull(basic("alice:" + token)), row.pull == 403 ? 403 : 401) << "its name only";
  }
  EXPECT_EQ(pull(bearer("berth_" + std::string(64, '0'))), 401);
  EXPECT_EQ(pull(""), 401) << "where tokens are asked for it is not open";
}

TEST_F(GateTest, ATokensShortLivedTokensAreBoundedByIt) {
  start_with_tokens(false, {"ci push,pull team/*"});
  const std::string reads = basic("ci:" + make_token("ci", {"read"}));
  const std::string scope = "repository:team/x:pull,push";
  EXPECT_EQ(pull(exchange(reads, scope)), 404);
  EXPECT_EQ(push(exchange(reads, scope)), 403) << "another one would not help";
  const std::string manages = basic("ci:" + make_token("ci", {"manage"}));
  EXPECT_EQ(push(exchange(manages, scope)), 202);
  EXPECT_EQ(push(exchange(manages, "repository:team/x:pull")), 401) << "another one would";
  EXPECT_EQ(call("POST", "/v2/other/x/blobs/uploads/", manages).status, 403);
}

TEST_F(GateTest, WhatWasRevokedOrExpiredOpensNothing) {
  start_with_tokens(false);
  const std::string expired =
      make_token("ci", {"admin"}, std::chrono::seconds(60), std::chrono::seconds(61));
  EXPECT_EQ(pull(bearer(expired)), 401);
  EXPECT_EQ(pull(basic("ci:" + expired)), 401);
  const std::string token = make_token("ci", {"admin"}, std::chrono::seconds(100));
  const std::string scope = "repository:team/x:pull,push";
  const std::string given = exchange(basic("ci:" + token), scope);
  const auto claims = guard::verify(given.substr(7), kService, kKey);
  ASSERT_TRUE(claims);
  EXPECT_LE(claims->expires, now() + std::chrono::seconds(100)) << "it outlives the token";
  EXPECT_EQ(claims->credential, id_);
  const auto begun = call("POST", "/v2/team/x/blobs/uploads/", given);
  ASSERT_EQ(begun.status, 202);
  const std::string place(*begun.headers.get("Location"));
  ASSERT_TRUE(guard::TokenFile(folder_.path()).revoke(id_).value());
  // The file is looked at when it was not for a second, and by a gate that begins.
  start_with_tokens(false);
  EXPECT_EQ(pull(bearer(token)), 401);
  EXPECT_EQ(pull(basic("ci:" + token)), 401);
  EXPECT_EQ(pull(given), 401);
  EXPECT_EQ(call("GET", place, given).status, 401) << "not even what it began";
}

TEST_F(GateTest, AnUploadOutlivesTheBerthTokenThatExpires) {
  start_with_tokens(false);
  const std::string live = bearer(make_token("ci", {"manage"}));
  const auto begun = call("POST", "/v2/team/x/blobs/uploads/", live);
  ASSERT_EQ(begun.status, 202);
  const std::string place(*begun.headers.get("Location"));
  make_token("ci", {"manage"}, std::chrono::seconds(60), std::chrono::seconds(90));
  start_with_tokens(false);
  const std::string given = bearer(guard::sign({.subject = "ci",
                                                .issued = now() - std::chrono::seconds(90),
                                                .expires = now() - std::chrono::seconds(30),
                                                .access = {{"team/x", guard::Actions::all()}},
                                                .credential = id_},
                                               kService, kKey));
  EXPECT_EQ(call("PATCH", place, given, "hello").status, 202);
  EXPECT_EQ(pull(given), 401);
}

TEST_F(GateTest, ATokenWithAUsersNameActsAsThatUser) {
  start_with_tokens(true, {"alice pull,push team/**", "bob pull team/**"});
  const std::string token = make_token("alice", {"manage"});
  EXPECT_EQ(push(basic("alice:secret")), 202);
  EXPECT_EQ(push(basic("alice:" + token)), 202);
  EXPECT_EQ(call("DELETE", "/v2/team/x/manifests/1", basic("alice:" + token)).status, 403);
  EXPECT_EQ(push(basic("alice:" + make_token("alice", {"read"}))), 403);
  EXPECT_EQ(push(basic("bob:" + make_token("bob", {"admin"}))), 403) << "no more than the rules";
  EXPECT_EQ(pull(basic("alice:wrong")), 401);
  EXPECT_EQ(pull(basic("alice:berth_wrong")), 401);
}

TEST_F(GateTest, NamesThatStandForOthersAreNobodys) {
  start_with_tokens(false, {"anonymous pull public/*", "* * **"});
  for (const char* name : {"*", "anonymous"})
    EXPECT_EQ(pull(bearer(make_token(name, {"admin"}))), 401) << name;
}

TEST_F(GateTest, ABrokenFileOfTokensOpensNothing) {
  start_with_tokens(true);
  const std::string token = make_token("ci", {"admin"});
  std::ofstream(folder_.path() + "/tokens.json") << "{";
  EXPECT_EQ(pull(bearer(token)), 500);
  EXPECT_EQ(pull(basic("alice:secret")), 404) << "who has a password needs no tokens";
}

TEST_F(GateTest, StrangersWhoMayPullHearNotFoundAndTheBaseTellsHowToLogIn) {
  const auto base = [this](const std::string& credentials) {
    return call("GET", "/v2/", credentials).status;
  };
  start_with_tokens(true, {"alice * **", "anonymous pull team/*"});
  const std::string stranger = exchange("", "repository:team/x:pull");
  EXPECT_EQ(base(""), 401);
  EXPECT_EQ(base(stranger), 200);
  EXPECT_EQ(pull(""), 404) << "there is nothing yet";
  EXPECT_EQ(pull(stranger), 404);
  EXPECT_EQ(push(""), 401);
  EXPECT_EQ(push(stranger), 401);
  EXPECT_EQ(call("GET", "/v2/other/x/tags/list", "").status, 401) << "of what is not theirs";
  start_with_tokens(true, {"alice * **"});
  EXPECT_EQ(base(exchange("", "repository:team/x:pull")), 401);
  EXPECT_EQ(pull(""), 401);
  EXPECT_EQ(base(basic("alice:secret")), 200);
}

TEST_F(GateTest, AClientThatAsksTooOftenIsToldToWait) {
  start({.htpasswd = folder_.path() + "/users",
         .rules = {"alice * **"},
         .anonymous_pull = true,
         .key = std::string(kKey),
         .limits = {.requests = 1}});
  const auto refused_after = [&](const std::string& credentials) {
    for (int i = 0; i < 1000; ++i) {
      const auto response = call("GET", "/v2/team/x/tags/list", credentials);
      if (response.status != 429) continue;
      EXPECT_EQ(response.headers.get("Retry-After"), "1");
      EXPECT_NE(std::get<std::string>(response.body.content).find("TOOMANYREQUESTS"),
                std::string::npos);
      return i;
    }
    return 1000;
  };
  EXPECT_GE(refused_after(""), 10);
  EXPECT_EQ(pull(basic("alice:secret")), 404) << "a user counts by name";
  peer_ = "192.0.2.2";
  EXPECT_EQ(pull(""), 404) << "so does another address";
  peer_ = "2001:db8::1";
  EXPECT_LT(refused_after(""), 1000);
  peer_ = "2001:db8::2";
  EXPECT_EQ(pull(""), 429) << "a /64 is one client";
  peer_ = "192.0.2.3";
  EXPECT_GE(refused_after(basic("alice:wrong")), 10) << "guesses count";
  EXPECT_EQ(pull(basic("alice:secret")), 429) << "and the right one is not heard among them";
  EXPECT_EQ(call("GET", "/v2/_berth/token", basic("alice:secret")).status, 429);
  EXPECT_EQ(pull(bearer(token_of("alice", guard::Actions::all(), std::chrono::minutes(5)))), 429);
}

TEST_F(GateTest, BehindAProxyTheLastAddressBeforeItCounts) {
  start({.behind_proxy = {"10.0.0.0/8"}, .key = std::string(kKey), .limits = {}});
  peer_ = "10.1.2.3";
  struct Row {
    std::string forwarded;
    std::string client;
  };
  const Row rows[] = {
      {"192.0.2.7", "192.0.2.7"},
      {"192.0.2.7, 198.51.100.1", "198.51.100.1"},
      {"192.0.2.7, 10.9.9.9", "192.0.2.7"},
      {"192.0.2.7,10.9.9.9 , 10.8.8.8", "192.0.2.7"},
      {"nonsense, 192.0.2.7:1234", "192.0.2.7"},
      {"[2001:db8:0:1::5]:443", "2001:db8:0:1::/64"},
      {"2001:db8:0:1::5", "2001:db8:0:1::/64"},
      {"nonsense", "10.1.2.3"},
      {"192.0.2.7/8", "10.1.2.3"},
      {"[", "10.1.2.3"},
      {"", "10.1.2.3"},
  };
  for (const Row& row : rows) {
    http::Request request{.method = "GET"};
    request.peer = peer_;
    request.headers.set("X-Forwarded-For", row.forwarded);
    EXPECT_EQ(gate_->client_of(request, nullptr), row.client) << row.forwarded;
    request.peer = "192.0.2.9";
    EXPECT_EQ(gate_->client_of(request, nullptr), "192.0.2.9") << "anybody can write the header";
  }
}

TEST_F(GateTest, UploadsInProgressAreBounded) {
  start(
      {.htpasswd = folder_.path() + "/users", .key = std::string(kKey), .limits = {.uploads = 2}});
  const std::string alice = basic("alice:secret");
  const auto first = call("POST", "/v2/team/x/blobs/uploads/", alice);
  ASSERT_EQ(first.status, 202);
  ASSERT_EQ(push(alice), 202);
  const auto refused = call("POST", "/v2/team/x/blobs/uploads/", alice);
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(refused.headers.get("Retry-After"));
  const std::string place(*first.headers.get("Location"));
  EXPECT_EQ(call("PATCH", place, alice, "hello").status, 202) << "what began goes on";
  EXPECT_EQ(
      call("PUT", place + "?digest=" + oci::Digest::of(as_bytes("hello")).string(), alice).status,
      201);
  const std::string whole = "/v2/team/x/blobs/uploads/?digest=";
  for (int i = 0; i < 3; ++i) {
    const std::string text = fmt::format("blob {}", i);
    EXPECT_EQ(call("POST", whole + oci::Digest::of(as_bytes(text)).string(), alice, text).status,
              201);
    EXPECT_EQ(call("POST", whole + oci::Digest::of(as_bytes("other")).string(), alice, text).status,
              400);
  }
  const auto second = call("POST", "/v2/team/x/blobs/uploads/", alice);
  ASSERT_EQ(second.status, 202);
  EXPECT_EQ(push(alice), 429);
  EXPECT_EQ(call("DELETE", std::string(*second.headers.get("Location")), alice).status, 204);
  EXPECT_EQ(push(alice), 202);
}

// ---- pieces, as Ollama sends them

TEST_F(GateTest, APieceNeedsNoCredentialsAtItsAddress) {
  const std::string alice = basic("alice:secret");
  const auto begun = call("POST", "/v2/team/x/blobs/uploads/", alice);
  ASSERT_EQ(begun.status, 202);
  const std::string place(*begun.headers.get("Location"));
  headers_ = {{"X-Redirect-Uploads", "1"}, {"Content-Range", "6-10"}};
  const auto sent_elsewhere = call("PATCH", place, alice, "world");
  ASSERT_EQ(sent_elsewhere.status, 307);
  EXPECT_EQ(call("PATCH", place, "", "world").status, 401);
  headers_.clear();
  constexpr std::string_view kOrigin = "http://registry.example";
  const std::string address(*sent_elsewhere.headers.get("Location"));
  ASSERT_TRUE(address.starts_with(kOrigin)) << address;
  const std::string piece = address.substr(kOrigin.size());
  const std::string digest = oci::Digest::of(as_bytes("hello world")).string();
  std::string other = piece;
  other.replace(other.find("piece=6"), 7, "piece=1");
  std::string later = piece;
  later.replace(later.find("until="), 6, "until=9");
  for (const std::string& wrong : {other, later, piece.substr(0, piece.find("&seal")), place})
    EXPECT_EQ(call("PUT", wrong, "", "world").status, 401) << wrong;
  EXPECT_EQ(call("PUT", piece, "", "worlds").status, 400);
  EXPECT_EQ(call("PUT", piece, "", "world").status, 201);
  const std::string end = place + "?digest=" + digest;
  EXPECT_EQ(call("PUT", end + "&etag=0123-2", alice).status, 416);
  headers_ = {{"X-Redirect-Uploads", "1"}, {"Content-Range", "0-5"}};
  const std::string first(*call("PATCH", place, alice, "hello ").headers.get("Location"));
  headers_.clear();
  EXPECT_EQ(call("PUT", first.substr(kOrigin.size()), "", "hello ").status, 201);
  EXPECT_EQ(call("PUT", end + "&etag=0123-3", alice).status, 416) << "the last of three";
  EXPECT_EQ(call("PUT", end + "&etag=0123-2", alice).status, 201);
  EXPECT_EQ(call("PUT", piece, "", "world").status, 404);
}

TEST_F(GateTest, BehindAProxyOnlyTheProxyMayCall) {
  start({.behind_proxy = {"10.0.0.0/8"}, .key = std::string(kKey)});
  EXPECT_EQ(call("GET", "/v2/").status, 403);
  peer_ = "10.1.2.3";
  EXPECT_EQ(call("GET", "/v2/").status, 200);
}

TEST_F(GateTest, UsersThatCannotBeReadLeaveTheOldOnes) {
  std::ofstream(folder_.path() + "/users") << "alice:plain\n";
  EXPECT_FALSE(gate_->reload());
  EXPECT_EQ(call("GET", "/v2/", basic("alice:secret")).status, 200);
  EXPECT_FALSE(Gate::open(*loop_, {.htpasswd = folder_.path() + "/users", .key = "k"}));
  EXPECT_FALSE(Gate::open(*loop_, {.rules = {"nonsense"}, .key = "k"}));
}

}  // namespace
}  // namespace berth::registryd
