#include "remote/docker_config.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::remote {
namespace {

DockerConfig config(std::string_view text) {
  return DockerConfig::parse(text, "config.json").value();
}
std::string encoded(std::string_view text) { return base64_encode(as_bytes(text)); }
std::string user_of(const DockerConfig& file, std::string_view registry,
                    std::string_view repository = "ai/x") {
  const auto found = file.find(registry, repository).value();
  return found ? found->user : "";
}

TEST(DockerConfig, HubHasItsOwnKey) {
  const auto file =
      config(R"({"auths":{"https://index.docker.io/v1/":{"auth":")" + encoded("me:pw") + R"("}}})");
  const auto found = file.find("docker.io", "ai/x").value();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->user, "me");
  EXPECT_EQ(found->password.reveal(), "pw");
  EXPECT_FALSE(file.find("ghcr.io", "ai/x").value());
}

TEST(DockerConfig, KeysMayBeUrlsOrHosts) {
  const auto file = config(R"({"auths":{"https://ghcr.io":{"auth":")" + encoded("a:b") +
                           R"("},"r.example:5000":{"username":"c","password":"d"},
    "https://index.docker.io/v1/access-token":{"auth":")" +
                           encoded("oauth:x") + R"("}}})");
  EXPECT_EQ(user_of(file, "ghcr.io"), "a");
  EXPECT_EQ(user_of(file, "R.example:5000"), "c");
  EXPECT_EQ(user_of(file, "r.example"), "") << "another port is another registry";
  EXPECT_EQ(user_of(file, "docker.io"), "") << "docker's OAuth state is no login";
}

TEST(DockerConfig, PodmansLongestKeyWins) {
  const auto file = config(R"({"auths":{"q.io":{"auth":")" + encoded("host:p") +
                           R"("},"q.io/team":{"auth":")" + encoded("team:p") +
                           R"("},"q.io/team/model":{"auth":")" + encoded("model:p") + R"("}}})");
  EXPECT_EQ(user_of(file, "q.io", "team/model"), "model");
  EXPECT_EQ(user_of(file, "q.io", "team/models"), "team");
  EXPECT_EQ(user_of(file, "q.io", "teams/x"), "host");
}

TEST(DockerConfig, IdentityTokens) {
  const auto file = config(R"({"auths":{"a.io":{"auth":")" + encoded("u:") +
                           R"(","identitytoken":"IT"},"b.io":{"auth":")" + encoded("<token>:RT") +
                           R"("},"c.io":{"registrytoken":"BT"}}})");
  EXPECT_EQ(file.find("a.io", "x").value()->identity_token.reveal(), "IT");
  EXPECT_EQ(file.find("b.io", "x").value()->identity_token.reveal(), "RT");
  EXPECT_EQ(file.find("c.io", "x").value()->registry_token.reveal(), "BT");
}

TEST(DockerConfig, EmptyEntriesAreNoLogin) {
  EXPECT_FALSE(config(R"({"auths":{"a.io":{}}})").find("a.io", "x").value());
  EXPECT_FALSE(config("").find("a.io", "x").value());
  EXPECT_FALSE(config(R"({"auths":null})").find("a.io", "x").value());
}

TEST(DockerConfig, HelperByRegistryThenStore) {
  const auto file = config(
      R"({"credsStore":"desktop","credHelpers":{"gcr.io":"gcloud","index.docker.io":"hub"}})");
  EXPECT_EQ(file.helper("gcr.io").value(), "gcloud");
  EXPECT_EQ(file.helper("docker.io").value(), "hub");
  EXPECT_EQ(file.helper("ghcr.io").value(), "desktop");
  EXPECT_FALSE(config("{}").helper("ghcr.io").value());
}

TEST(DockerConfig, EditsKeepTheRest) {
  auto file = config(
      R"({"zeta":1,"auths":{"b.io":{"auth":"x","email":"e"},"a.io":{}},"HttpHeaders":{"X":"y"}})");
  file.set("docker.io",
           {.user = "me", .password = Secret("pw"), .identity_token = {}, .registry_token = {}});
  EXPECT_TRUE(file.erase("a.io"));
  EXPECT_FALSE(file.erase("a.io"));
  const auto again = json::serialize(json::parse(file.text(), "again").value());
  EXPECT_EQ(
      again,
      R"({"zeta":1,"auths":{"b.io":{"auth":"x","email":"e"},"https://index.docker.io/v1/":{"auth":")" +
          encoded("me:pw") + R"("}},"HttpHeaders":{"X":"y"}})");
  EXPECT_EQ(user_of(config(file.text()), "docker.io"), "me");
}

TEST(DockerConfig, MalformedFilesAreNamed) {
  for (const char* text :
       {"[]", "{", R"({"auths":[]})", R"({"credHelpers":3})", R"({"auths":{},"auths":{}})"}) {
    const auto bad = DockerConfig::parse(text, "/home/me/config.json");
    ASSERT_FALSE(bad) << text;
    EXPECT_TRUE(bad.error().message().contains("/home/me/config.json")) << bad.error().message();
  }
  const auto bad = config(R"({"auths":{"a.io":{"auth":"!!!CANARY"}}})").find("a.io", "x");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), Code::kInvalid);
  EXPECT_FALSE(bad.error().message().contains("CANARY"));
}

}  // namespace
}  // namespace berth::remote
