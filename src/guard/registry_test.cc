// What guards a registry: rules, users, tokens.
#include <gtest/gtest.h>

#include "guard/htpasswd.h"
#include "guard/permissions.h"
#include "guard/registry_token.h"
#include "guard/signers.h"

namespace berth::guard {
namespace {

std::string shown(Actions actions) {
  std::string text;
  for (int i = 0; i < kActionCount; ++i) {
    if (actions.allows(static_cast<Action>(i)))
      text += (text.empty() ? "" : ",") + std::string(to_string(static_cast<Action>(i)));
  }
  return text;
}

TEST(Permissions, WhatNoRuleAllowsIsDenied) {
  const auto rules = Permissions::parse(
      {"alice pull,push team/**", "*  pull  *", "anonymous pull public/*", "ci * team/models/*"});
  ASSERT_TRUE(rules) << rules.error().message();
  EXPECT_EQ(shown(rules->of("alice", "team/x/y")), "pull,push");
  EXPECT_EQ(shown(rules->of("alice", "team")), "pull");
  EXPECT_EQ(shown(rules->of("bob", "team/x")), "");
  EXPECT_EQ(shown(rules->of("bob", "x")), "pull");
  EXPECT_EQ(shown(rules->of("bob", "public/x")), "pull");
  EXPECT_EQ(shown(rules->of(kAnonymous, "public/x")), "pull");
  EXPECT_EQ(shown(rules->of(kAnonymous, "x")), "");
  EXPECT_EQ(shown(rules->of("ci", "team/models/a")), "pull,push,move,delete");
  EXPECT_EQ(shown(Permissions().of("alice", "x")), "");
  EXPECT_EQ(shown(Permissions::for_every_user().of("alice", "a/b")), "pull,push,move,delete");
  EXPECT_EQ(shown(Permissions::for_every_user().of(kAnonymous, "a/b")), "");
}

TEST(Permissions, SomeRightsHoldEverywhereAndSomeSomewhere) {
  const auto rules =
      Permissions::parse({"alice delete **", "alice push team/**", "anonymous pull public/*"});
  ASSERT_TRUE(rules) << rules.error().message();
  EXPECT_EQ(shown(rules->everywhere("alice")), "delete");
  EXPECT_EQ(shown(rules->everywhere("bob")), "");
  EXPECT_EQ(shown(rules->anywhere("alice")), "pull,push,delete");
  EXPECT_EQ(shown(rules->anywhere(kAnonymous)), "pull");
  EXPECT_EQ(shown(Permissions::for_every_user().anywhere(kAnonymous)), "");
}

TEST(Permissions, ARuleThatIsNoneIsNamed) {
  for (const char* rule : {"", "alice", "alice pull", "alice pull a b", "alice read a",
                           "alice pull, a", "alice pull [a"})
    EXPECT_EQ(Permissions::parse({rule}).error().code(), Code::kInvalid) << rule;
}

// htpasswd -nbB alice secret
constexpr const char* kAlice =
    "alice:$2y$05$P.3nIz2TOG3rRI3Bnwsyj.VdUvIsrd0wLppGUMgBcmYhMA6rPd4Ue\n";

// The first is the reference implementation's own test vector, as others have it in theirs; the
// second was made with Debian's `argon2 -id -t 3 -k 8192 -p 4`.
constexpr const char* kArgon2 =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
constexpr const char* kArgon2Lanes =
    "$argon2id$v=19$m=8192,t=3,p=4$c2FsdHNhbHRzYWx0$BwseqAK5WOj4zaxpj0Y1ht1yoJK9XG8w/tcvKBvquCU";

TEST(Htpasswd, TakesArgon2) {
  const auto users =
      Htpasswd::parse("alice:" + std::string(kArgon2) + "\nbob:" + kArgon2Lanes + "\n", "f");
  ASSERT_TRUE(users) << users.error().message();
  EXPECT_TRUE(users->is_right("alice", Secret("password")));
  EXPECT_FALSE(users->is_right("alice", Secret("Password")));
  EXPECT_FALSE(users->is_right("alice", Secret("")));
  EXPECT_TRUE(users->is_right("bob", Secret("secret")));
  EXPECT_FALSE(users->is_right("bob", Secret("password")));
  EXPECT_FALSE(users->is_right("carol", Secret("password"))) << "the first user's password";
}

TEST(Htpasswd, RefusesArgon2ThatIsMalformedOrAsksForTooMuch) {
  const std::string salt = "c29tZXNhbHQ";
  const std::string hash = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
  const auto made = [&](const std::string& head) { return head + "$" + salt + "$" + hash; };
  const std::string good = "$argon2id$v=19$m=65536,t=2,p=1";
  ASSERT_TRUE(Htpasswd::parse("a:" + made(good), "f"));
  for (const std::string& text : {
           made("$argon2i$v=19$m=65536,t=2,p=1"),
           made("$argon2d$v=19$m=65536,t=2,p=1"),
           made("$argon2id$v=16$m=65536,t=2,p=1"),
           made("$argon2id$m=65536,t=2,p=1"),
           made("$argon2id$v=19$m=65536,t=2"),
           made("$argon2id$v=19$t=2,m=65536,p=1"),
           made("$argon2id$v=19$m=4095,t=2,p=1"),
           made("$argon2id$v=19$m=262145,t=2,p=1"),
           made("$argon2id$v=19$m=4294967296,t=2,p=1"),
           made("$argon2id$v=19$m=-1,t=2,p=1"),
           made("$argon2id$v=19$m=,t=2,p=1"),
           made("$argon2id$v=19$m=65536,t=0,p=1"),
           made("$argon2id$v=19$m=65536,t=17,p=1"),
           made("$argon2id$v=19$m=65536,t=2,p=0"),
           made("$argon2id$v=19$m=65536,t=2,p=17"),
           made(good) + "$",
           good + "$$" + hash,
           good + "$c2FsdA$" + hash,  // four bytes
           good + "$" + salt + "$",
           good + "$" + salt + "$c29tZXNhbHQ",
           good + "$" + salt + "$" + hash.substr(1) + "=",
           good + "$" + salt + "$not base64 at all, you see?",
           good + "$" + salt + "$" + std::string(600, 'A'),
           std::string("$argon2"),
           std::string("$argon2id$"),
       }) {
    const auto users = Htpasswd::parse("a:" + text, "f");
    ASSERT_FALSE(users) << text;
    EXPECT_EQ(users.error().code(), Code::kInvalid);
    EXPECT_NE(users.error().message().find("f line 1"), std::string::npos);
  }
}

TEST(Htpasswd, RefusesWhatIsNoSlowHash) {
  EXPECT_TRUE(Htpasswd::parse("# users\n\n" + std::string(kAlice), "f"));
  for (const char* text : {"alice:secret", "alice:{SHA}x", "alice:$apr1$x", "alice", ":$2y$05$x",
                           "*:$2y$05$x", "anonymous:$2y$05$x"})
    EXPECT_EQ(Htpasswd::parse(text, "f").error().code(), Code::kInvalid) << text;
}

TEST(Htpasswd, KnowsTheRightPassword) {
  const auto users = Htpasswd::parse(kAlice, "f").value();
  EXPECT_TRUE(users.is_right("alice", Secret("secret")));
  EXPECT_FALSE(users.is_right("alice", Secret("Secret")));
  EXPECT_FALSE(users.is_right("alice", Secret("")));
  EXPECT_FALSE(users.is_right("bob", Secret("secret")));
  EXPECT_FALSE(users.is_right("alice", Secret(std::string(100'000, 'x'))));
}

TEST(Signers, ALineIsANameAndAKey) {
  const std::string key = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
  EXPECT_TRUE(Signers::parse("# people\n\nalice ssh-ed25519 " + key + " alice@laptop\n", "f"));
  for (const std::string& text :
       {"alice ssh-rsa " + key, "alice " + key, "* ssh-ed25519 " + key,
        "anonymous ssh-ed25519 " + key, "alice ssh-ed25519 " + key.substr(4),
        std::string("alice ssh-ed25519 x")})
    EXPECT_EQ(Signers::parse(text, "f").error().code(), Code::kInvalid) << text;
  const auto signers = Signers::parse("alice ssh-ed25519 " + key, "f").value();
  for (const std::string& credentials :
       {std::string(), key, key + ":", key + ":AAAA", std::string(":AAAA")})
    EXPECT_FALSE(signers.signer(credentials, "message")) << credentials;
}

TEST(RegistryToken, IsReadBackOnlyWithItsKeyAndForItsService) {
  RegistryToken token{.subject = "alice",
                      .issued = std::chrono::sys_seconds(std::chrono::seconds(1000)),
                      .expires = std::chrono::sys_seconds(std::chrono::seconds(1300)),
                      .access = {{"a/b", Actions::of({Action::kPull, Action::kMove})}},
                      .catalog = true};
  const std::string text = sign(token, "registry", "key");
  const auto read = verify(text, "registry", "key");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->subject, "alice");
  EXPECT_EQ(read->expires, token.expires);
  EXPECT_EQ(shown(read->of("a/b")), "pull,move");
  EXPECT_EQ(shown(read->of("a")), "");
  EXPECT_TRUE(read->catalog);
  EXPECT_FALSE(verify(text, "registry", "other"));
  EXPECT_FALSE(verify(text, "else", "key"));
  for (std::size_t i = 0; i < text.size(); i += 7) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verify(changed, "registry", "key")) << i;
  }
  for (const char* nonsense : {"", ".", "..", "a.b.c", "x"})
    EXPECT_FALSE(verify(nonsense, "registry", "key"));
}

TEST(RegistryToken, RequestsAreReadInTheWordsOfClients) {
  const auto asked = parse_scope_request("repository:localhost:5000/a:push,pull");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->access.repository, "localhost:5000/a");
  EXPECT_EQ(shown(asked->access.actions), "pull,push,move");
  EXPECT_EQ(shown(parse_scope_request("repository:a:*")->access.actions), "pull,push,move,delete");
  EXPECT_EQ(shown(parse_scope_request("repository(plugin):a:scanner-pull")->access.actions), "");
  EXPECT_TRUE(parse_scope_request("registry:catalog:*")->catalog);
  for (const char* text : {"", "repository", "repository:a", "other:a:pull"})
    EXPECT_FALSE(parse_scope_request(text)) << text;
}

}  // namespace
}  // namespace berth::guard
