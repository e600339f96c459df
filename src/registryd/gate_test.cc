#include "registryd/gate.h"

#include <fstream>
#include <gtest/gtest.h>

#include "atlas/atlas.h"
#include "base/text.h"
#include "depot/depot_fixture.h"
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
    if (!body.empty())
      request.body = http::Body(std::make_unique<depot::FakeBody>(*loop_, body), body.size());
    return run(registry_->handle(op_, std::move(request))).value();
  }
  static std::string bearer(const std::string& token) { return "Bearer " + token; }
  static std::string basic(std::string_view text) {
    return "Basic " + base64_encode(as_bytes(text));
  }

  std::string peer_ = "192.0.2.1";
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
