#include "http/forwarded.h"

#include <gtest/gtest.h>

namespace berth::http {
namespace {

using namespace std::string_literals;

class ForwardedTest : public testing::Test {
 protected:
  std::string client(std::string peer, std::initializer_list<std::string> fields) const {
    Request request;
    request.peer = std::move(peer);
    for (const std::string& field : fields) request.headers.add("X-Forwarded-For", field);
    return client_address(request, proxies_);
  }
  std::vector<Network> proxies_ = {Network::parse("10.0.0.0/8").value(),
                                   Network::parse("fd00::/8").value()};
};

TEST_F(ForwardedTest, IsTheLastThatIsNoProxy) {
  EXPECT_EQ(client("10.1.2.3", {"192.0.2.7"}), "192.0.2.7");
  EXPECT_EQ(client("10.1.2.3", {"203.0.113.1, 192.0.2.7"}), "192.0.2.7");
  EXPECT_EQ(client("10.1.2.3", {"192.0.2.7,10.9.9.9 , fd00::1"}), "192.0.2.7");
  EXPECT_EQ(client("10.1.2.3", {"203.0.113.1", "192.0.2.7, 10.9.9.9", "10.8.8.8"}), "192.0.2.7");
  EXPECT_EQ(client("10.1.2.3", {"10.9.9.9"}), "10.9.9.9") << "it called itself";
  EXPECT_EQ(client("10.1.2.3", {}), "10.1.2.3");
  EXPECT_EQ(client("::ffff:10.1.2.3", {"192.0.2.7"}), "192.0.2.7");
  EXPECT_EQ(client("unix", {"192.0.2.7"}), "unix");
}

TEST_F(ForwardedTest, IsNotBelievedOfOthers) {
  EXPECT_EQ(client("192.0.2.9", {"192.0.2.7"}), "192.0.2.9");
  EXPECT_EQ(client("192.0.2.9", {"10.1.1.1"}), "192.0.2.9");
}

TEST_F(ForwardedTest, HasItsUsualForm) {
  EXPECT_EQ(client("10.1.2.3", {"192.0.2.7:1234"}), "192.0.2.7");
  EXPECT_EQ(client("10.1.2.3", {"[2001:DB8:0:0::5]:443"}), "2001:db8::5");
  EXPECT_EQ(client("10.1.2.3", {"::ffff:192.0.2.7"}), "192.0.2.7");
}

TEST_F(ForwardedTest, WhatIsNoAddressIsNotTaken) {
  for (const std::string& field :
       {""s, ","s, "nonsense"s, "192.0.2.7/8"s, "["s, "[]"s, ":"s, "192.0.2.7, "s, "192.0.2.7, x"s,
        "192.0.2.7\0x"s, std::string(30'000, '1'), "\x1b[31m"s, "fe80::1%eth0"s, "_hidden"s}) {
    EXPECT_EQ(client("10.1.2.3", {field}), "10.1.2.3") << field;
  }
  EXPECT_EQ(client("10.1.2.3", {"nonsense, 192.0.2.7"}), "192.0.2.7") << "it is never looked at";
}

TEST_F(ForwardedTest, IsLookedForInAFewHopsOnly) {
  std::string field = "192.0.2.7";
  for (std::size_t i = 0; i < kForwardedHops + 1; ++i) field += ",10.0.0.1";
  EXPECT_EQ(client("10.1.2.3", {field}), "10.0.0.1");
}

}  // namespace
}  // namespace berth::http
