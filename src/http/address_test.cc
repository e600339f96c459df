#include "http/address.h"

#include <gtest/gtest.h>

namespace berth::http {
namespace {

using Kind = AddressKind;

TEST(Address, Classifies) {
  const std::pair<std::string_view, Kind> cases[] = {
      {"8.8.8.8", Kind::kPublic},
      {"1.1.1.1", Kind::kPublic},
      {"127.0.0.1", Kind::kLoopback},
      {"127.255.255.254", Kind::kLoopback},
      {"10.1.2.3", Kind::kPrivate},
      {"172.16.0.1", Kind::kPrivate},
      {"172.31.255.255", Kind::kPrivate},
      {"172.32.0.1", Kind::kPublic},
      {"192.168.1.1", Kind::kPrivate},
      {"100.64.0.1", Kind::kPrivate},
      {"100.127.255.255", Kind::kPrivate},
      {"100.128.0.1", Kind::kPublic},
      {"169.254.169.254", Kind::kLinkLocal},
      {"0.0.0.0", Kind::kSpecial},
      {"0.1.2.3", Kind::kSpecial},
      {"192.0.2.1", Kind::kSpecial},
      {"198.18.0.1", Kind::kSpecial},
      {"203.0.113.9", Kind::kSpecial},
      {"224.0.0.1", Kind::kSpecial},
      {"255.255.255.255", Kind::kSpecial},
      {"::1", Kind::kLoopback},
      {"::", Kind::kSpecial},
      {"::ffff:127.0.0.1", Kind::kLoopback},
      {"::ffff:10.0.0.1", Kind::kPrivate},
      {"::ffff:8.8.8.8", Kind::kPublic},
      {"64:ff9b::7f00:1", Kind::kLoopback},
      {"64:ff9b::808:808", Kind::kPublic},
      {"64:ff9b::a9fe:a9fe", Kind::kLinkLocal},
      {"64:ff9b:1::1", Kind::kPrivate},
      {"2002:7f00:1::", Kind::kLoopback},
      {"2002:c0a8:101::1", Kind::kPrivate},
      {"fc00::1", Kind::kPrivate},
      {"fdff::1", Kind::kPrivate},
      {"fe80::1", Kind::kLinkLocal},
      {"fe80::1%eth0", Kind::kLinkLocal},
      {"fec0::1", Kind::kPrivate},
      {"ff02::1", Kind::kSpecial},
      {"2001:db8::1", Kind::kSpecial},
      {"2001::1", Kind::kSpecial},
      {"2001:4860:4860::8888", Kind::kPublic},
      {"2a00:1450::1", Kind::kPublic},
      {"::127.0.0.1", Kind::kSpecial},
      {"100::1", Kind::kSpecial},
      {"3fff::1", Kind::kSpecial},
  };
  for (const auto& [text, kind] : cases) EXPECT_EQ(classify(text), kind) << text;
}

TEST(Address, ReadsOnlyStrictLiterals) {
  for (const std::string_view text :
       {"localhost", "127.1", "0x7f.0.0.1", "", "1.2.3.4%eth0", "[::1]", "1.2.3"}) {
    EXPECT_FALSE(classify(text)) << text;
  }
}

TEST(AddressPolicy, DecidesByKind) {
  const AddressPolicy closed = AddressPolicy::public_only();
  EXPECT_TRUE(closed.allows(Kind::kPublic));
  for (const Kind kind : {Kind::kLoopback, Kind::kPrivate, Kind::kLinkLocal, Kind::kSpecial}) {
    EXPECT_FALSE(closed.allows(kind));
    EXPECT_EQ(AddressPolicy::anywhere().allows(kind), kind != Kind::kSpecial);
  }
  const Status status = closed.check(Kind::kLoopback, "evil.example");
  EXPECT_EQ(status.error().code(), Code::kDenied);
  EXPECT_NE(status.error().message().find("evil.example"), std::string::npos);
}

}  // namespace
}  // namespace berth::http
