#include "remote/challenge.h"

#include <gtest/gtest.h>

namespace berth::remote {
namespace {

TEST(Challenge, DockerHubsBearer) {
  const auto found = parse_challenges(
      {R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:ai/x:pull,push")"});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].scheme, "bearer");
  EXPECT_EQ(found[0].param("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(found[0].param("service"), "registry.docker.io");
  EXPECT_EQ(found[0].param("scope"), "repository:ai/x:pull,push");
  EXPECT_EQ(found[0].param("error"), "");
}

TEST(Challenge, SeveralInOneFieldAndInSeveral) {
  const auto found = parse_challenges(
      {"Negotiate, BASIC Realm=\"a \\\"b\\\", c\" , Bearer realm = x", "Digest qop=auth"});
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].scheme, "negotiate");
  EXPECT_EQ(found[1].param("realm"), "a \"b\", c");
  EXPECT_EQ(found[2].param("realm"), "x");
  EXPECT_EQ(found[3].scheme, "digest");
}

TEST(Challenge, Token68IsSteppedOver) {
  const auto found = parse_challenges({"Negotiate YWJj==, Basic realm=\"r\""});
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.back().scheme, "basic");
  EXPECT_EQ(found.back().param("realm"), "r");
}

TEST(Challenge, MalformedInputEndsAndIsBounded) {
  EXPECT_TRUE(parse_challenges({""}).empty());
  EXPECT_TRUE(parse_challenges({",,, ;;; \"\""}).empty());
  EXPECT_EQ(parse_challenges({"Bearer realm=\"never closed"})[0].param("realm"), "never closed");
  EXPECT_EQ(parse_challenges({"Bearer realm=\"x\\"})[0].param("realm"), "x\\");

  std::string many;
  for (int i = 0; i < 100; ++i) many += "S" + std::to_string(i) + " a=b, ";
  EXPECT_EQ(parse_challenges({many}).size(), kMaxChallenges);

  std::string params = "Bearer ";
  for (int i = 0; i < 100; ++i) params += "p" + std::to_string(i) + "=v,";
  EXPECT_EQ(parse_challenges({params})[0].params.size(), kMaxChallengeParams);

  const std::string huge = "Bearer realm=\"" + std::string(1'000'000, 'x');
  EXPECT_LE(parse_challenges({huge})[0].param("realm").size(), kMaxChallengeBytes);
}

TEST(Challenge, TheFirstOfTwoEqualParametersCounts) {
  EXPECT_EQ(parse_challenges({"Bearer realm=a, realm=b"})[0].param("realm"), "a");
}

}  // namespace
}  // namespace berth::remote
