#include "http/network.h"

#include <gtest/gtest.h>

namespace berth::http {
namespace {

TEST(Network, Contains) {
  EXPECT_TRUE(Network::parse("10.0.0.0/8")->contains("10.200.3.4"));
  EXPECT_FALSE(Network::parse("10.0.0.0/8")->contains("11.0.0.1"));
  EXPECT_TRUE(Network::parse("10.0.0.0/8")->contains("::ffff:10.1.2.3"));
  EXPECT_TRUE(Network::parse("192.168.1.4")->contains("192.168.1.4"));
  EXPECT_FALSE(Network::parse("192.168.1.4")->contains("192.168.1.5"));
  EXPECT_TRUE(Network::parse("192.168.1.128/25")->contains("192.168.1.200"));
  EXPECT_FALSE(Network::parse("192.168.1.128/25")->contains("192.168.1.100"));
  EXPECT_TRUE(Network::parse("fd00::/8")->contains("fd12::1"));
  EXPECT_TRUE(Network::parse("0.0.0.0/0")->contains("8.8.8.8"));
  EXPECT_FALSE(Network::parse("0.0.0.0/0")->contains("2001:db8::1"));
  EXPECT_FALSE(Network::parse("0.0.0.0/0")->contains("unix"));
  for (const char* text :
       {"", "10.0.0.0/33", "10.0.0/8", "x", "fd00::/129", "10.0.0.0/", "10.0.0.0/-1"}) {
    EXPECT_FALSE(Network::parse(text)) << text;
  }
}

}  // namespace
}  // namespace berth::http
