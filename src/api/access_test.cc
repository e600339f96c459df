#include "api/access.h"

#include <filesystem>
#include <gtest/gtest.h>

#include "api/errors.h"
#include "api/fakes.h"

namespace berth::api {
namespace {

TEST(Errors, NoCodeBecomes503AndEveryCodeHasAForm) {
  for (int i = 0; i < kCodeCount; ++i) {
    const Error error(static_cast<Code>(i), "m");
    EXPECT_NE(http_status(error.code()), 503);
    EXPECT_GE(http_status(error.code()), 400);
    EXPECT_TRUE(error_response(error, ErrorForm::kText)
                    .headers.get("Content-Type")
                    ->starts_with("text/plain"));
    EXPECT_TRUE(error_object(error, ErrorForm::kOpenAi).contains("error"));
  }
}

struct AccessTest : fakes::ApiTest {
  AccessTest() {
    char name[] = "/tmp/berth-access-XXXXXX";
    folder = ::mkdtemp(name);
    options.access.tokens_folder = folder;
  }
  ~AccessTest() override { std::filesystem::remove_all(folder); }

  std::string token(std::vector<std::string> scopes) {
    auto created = guard::TokenFile(folder).create("t", std::move(scopes), std::nullopt, {});
    return created->secret.reveal();
  }
  fakes::Got get(const std::string& target, const std::string& bearer = "",
                 std::string method = "GET") {
    auto asked = request(std::move(method), target);
    if (!bearer.empty()) asked.headers.set("Authorization", "Bearer " + bearer);
    return send(std::move(asked));
  }
  std::string folder;
};

TEST_F(AccessTest, LoopbackNeedsNoTokenUnlessAskedTo) {
  peer = "127.0.0.1";
  EXPECT_EQ(get("/models", "sk-anything").status, 200) << "stock clients send dummy keys";
  options.access.require_token = true;
  api().reconfigure(options);
  const auto refused = get("/models");
  EXPECT_EQ(refused.status, 401);
  EXPECT_TRUE(refused.header("WWW-Authenticate").starts_with("Bearer"));
  EXPECT_EQ(get("/models", "sk-anything").status, 401);
  EXPECT_EQ(get("/models", token({"read"})).status, 200);
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_EQ(get("/version").status, 200);
  peer = "unix";
  EXPECT_EQ(get("/models").status, 200);
}

TEST_F(AccessTest, ScopesDecide) {
  options.access.require_token = true;
  peer = "127.0.0.1";
  const std::string read = token({"read"});
  const std::string inference = token({"inference"});
  const std::string manage = token({"manage"});
  const std::string admin = token({"admin"});
  engines.answer("application/json", {{.text = "{}"}});
  const auto status = [&](const std::string& bearer, const char* method, const char* target) {
    auto asked =
        request(method, target, std::string(method) == "POST" ? R"({"model":"ai/m"})" : "");
    asked.headers.set("Authorization", "Bearer " + bearer);
    return send(std::move(asked)).status;
  };
  EXPECT_EQ(status(read, "POST", "/v1/chat/completions"), 403);
  EXPECT_EQ(status(inference, "POST", "/v1/chat/completions"), 200);
  EXPECT_EQ(status(inference, "DELETE", "/models/purge"), 403);
  EXPECT_EQ(status(manage, "GET", "/logs"), 403);
  EXPECT_EQ(status(admin, "GET", "/logs"), 200);
  EXPECT_EQ(status(manage, "DELETE", "/models/purge"), 200);
}

TEST_F(AccessTest, BeyondLoopbackATokenIsAlwaysNeeded) {
  peer = "192.0.2.7";
  EXPECT_EQ(get("/models").status, 401);
  EXPECT_EQ(get("/models", token({"read"})).status, 200);
  options.access.insecure = true;
  api().reconfigure(options);
  EXPECT_EQ(get("/models").status, 200);
}

TEST_F(AccessTest, OnlyProxiesMayCallBehindAProxy) {
  options.access.behind_proxy = {"10.0.0.0/8"};
  peer = "10.1.2.3";
  EXPECT_EQ(get("/models").status, 200);
  auto forwarded = request("GET", "/models");
  forwarded.headers.set("X-Forwarded-Host", "models.example");
  EXPECT_EQ(send(std::move(forwarded)).status, 200);
  peer = "192.0.2.7";
  auto claimed = request("GET", "/models");
  claimed.headers.set("X-Forwarded-Host", "models.example");
  EXPECT_EQ(send(std::move(claimed)).status, 400);
  EXPECT_EQ(get("/models").status, 403);
  EXPECT_EQ(get("/models", token({"admin"})).status, 403);
  EXPECT_FALSE(check_rules({.behind_proxy = {"nonsense"}}));
}

TEST_F(AccessTest, ABrokenTokenFileOpensNothing) {
  options.access.require_token = true;
  peer = "127.0.0.1";
  const std::string secret = token({"admin"});
  std::filesystem::permissions(folder + "/tokens.json", std::filesystem::perms::all);
  EXPECT_EQ(get("/models", secret).status, 403);
}

TEST_F(AccessTest, BrowserRulesComeFirst) {
  peer = "127.0.0.1";
  auto rebound = request("GET", "/models");
  rebound.url.host = "evil.example";
  EXPECT_EQ(send(std::move(rebound)).status, 403);
  auto foreign = request("GET", "/models");
  foreign.headers.set("Origin", "https://evil.example");
  EXPECT_EQ(send(std::move(foreign)).status, 403);
  auto page = request("GET", "/models");
  page.headers.set("Origin", "http://localhost:3000");
  const auto allowed = send(std::move(page));
  EXPECT_EQ(allowed.status, 200);
  EXPECT_EQ(allowed.header("Access-Control-Allow-Origin"), "http://localhost:3000");
  auto form = request("POST", "/models/create", "x");
  form.headers.set("Content-Type", "text/plain");
  EXPECT_EQ(send(std::move(form)).status, 415);
}

}  // namespace
}  // namespace berth::api
