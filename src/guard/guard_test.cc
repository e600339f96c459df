#include "guard/guard.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/stat.h>

namespace berth::guard {
namespace {

using std::chrono::seconds;
constexpr Time kNow{seconds(1'700'000'000)};

struct Guard : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/berth-guard-XXXXXX";
    folder = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string path() const { return folder + "/tokens.json"; }
  std::string content() const {
    std::ostringstream out;
    out << std::ifstream(path()).rdbuf();
    return out.str();
  }
  void write(const std::string& text) {
    std::ofstream(path()) << text;
    ::chmod(path().c_str(), 0600);
  }
  std::string folder;
};

TEST_F(Guard, ScopesImplyWhatTheyNeed) {
  const Scopes inference = Scopes::of({Scope::kInference});
  EXPECT_TRUE(inference.allows(Scope::kInference));
  EXPECT_TRUE(inference.allows(Scope::kRead));
  EXPECT_FALSE(inference.allows(Scope::kManage));
  EXPECT_FALSE(inference.allows(Scope::kAdmin));
  EXPECT_FALSE(Scopes::of({Scope::kManage}).allows(Scope::kInference));
  EXPECT_FALSE(Scopes().allows(Scope::kRead));
  for (const Scope scope : {Scope::kRead, Scope::kInference, Scope::kManage, Scope::kAdmin}) {
    EXPECT_TRUE(Scopes::all().allows(scope));
    EXPECT_EQ(parse_scope(to_string(scope)).value(), scope);
  }
  EXPECT_EQ(parse_scope("root").error().code(), Code::kInvalid);
}

TEST_F(Guard, TheDecision) {
  EXPECT_EQ(decide(std::nullopt, Scope::kRead).error().code(), Code::kUnauthenticated);
  const Principal reader{"ci", Scopes::of({Scope::kRead})};
  EXPECT_TRUE(decide(reader, Scope::kRead));
  const Status denied = decide(reader, Scope::kManage);
  EXPECT_EQ(denied.error().code(), Code::kDenied);
  EXPECT_EQ(denied.error().message(),
            "the token \"ci\" has no scope \"manage\", which this request needs");
}

TEST_F(Guard, BearerTokensOnly) {
  EXPECT_EQ(bearer_token("Bearer abc").value(), "abc");
  EXPECT_EQ(bearer_token("bearer  abc").value(), "abc");
  EXPECT_FALSE(bearer_token("Basic abc"));
  EXPECT_FALSE(bearer_token("Bearer "));
  EXPECT_FALSE(bearer_token(""));
}

TEST_F(Guard, ATokenIsKnownUntilItIsRevoked) {
  TokenFile file(folder);
  EXPECT_EQ(file.stamp().value(), "");
  const auto created = file.create("laptop", {"manage", "manage"}, std::nullopt, kNow);
  ASSERT_TRUE(created) << created.error().message();
  const std::string secret = created->secret.reveal();
  EXPECT_EQ(secret.size(), 6u + 64u);
  const std::string stamp = file.stamp().value();
  EXPECT_NE(stamp, "");

  const TokenSet tokens = file.load().value();
  const auto principal = tokens.find(secret, kNow);
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->name, "laptop");
  EXPECT_TRUE(principal->scopes.allows(Scope::kManage));
  EXPECT_FALSE(principal->scopes.allows(Scope::kInference));
  EXPECT_FALSE(tokens.find(secret + "0", kNow));
  EXPECT_FALSE(tokens.find("", kNow));
  EXPECT_FALSE(tokens.find(created->token.hash, kNow)) << "the stored hash must not be a key";

  EXPECT_FALSE(file.revoke("nosuchtoken").value());
  EXPECT_TRUE(file.revoke(created->token.id).value());
  EXPECT_FALSE(file.load()->find(secret, kNow));
  EXPECT_NE(file.stamp().value(), stamp);
}

TEST_F(Guard, ExpiryEndsAToken) {
  TokenFile file(folder);
  const auto created = file.create("short", {}, seconds(60), kNow);
  const TokenSet tokens = file.load().value();
  EXPECT_TRUE(tokens.find(created->secret.reveal(), kNow + seconds(59)));
  EXPECT_FALSE(tokens.find(created->secret.reveal(), kNow + seconds(60)));
}

TEST_F(Guard, TheFileHoldsNoTokenAndIsPrivate) {
  TokenFile file(folder);
  const auto created = file.create("one", {}, std::nullopt, kNow);
  EXPECT_EQ(content().find(created->secret.reveal().substr(6)), std::string::npos);
  struct stat info{};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Guard, AFileThatOthersCanWriteIsRefused) {
  write(R"({"version":1,"tokens":[]})");
  ::chmod(path().c_str(), 0620);
  EXPECT_EQ(TokenFile(folder).load().error().code(), Code::kDenied);
}

TEST_F(Guard, ABrokenFileIsAnErrorAndNotAnOpenDoor) {
  write("{");
  EXPECT_FALSE(TokenFile(folder).load());
  write(R"({"tokens":[{"id":"a","name":"a","sha256":"","scopes":["admin"]}]})");
  EXPECT_EQ(TokenFile(folder).load().error().code(), Code::kCorrupt);
  write(R"({"tokens":[{"id":"a","name":"a","sha256":"x","scopes":["root"]}]})");
  EXPECT_FALSE(TokenFile(folder).load());
}

TEST_F(Guard, NamesAndLifetimesAreBounded) {
  TokenFile file(folder);
  EXPECT_EQ(file.create("", {}, std::nullopt, kNow).error().code(), Code::kInvalid);
  EXPECT_EQ(file.create("a\nb", {}, std::nullopt, kNow).error().code(), Code::kInvalid);
  EXPECT_EQ(file.create(std::string(101, 'x'), {}, std::nullopt, kNow).error().code(),
            Code::kInvalid);
  EXPECT_EQ(file.create("a", {}, seconds(0), kNow).error().code(), Code::kInvalid);
  EXPECT_EQ(file.create("a", {"god"}, std::nullopt, kNow).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace berth::guard
