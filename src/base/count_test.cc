#include "base/count.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Count, NumbersAsPeopleWriteThem) {
  EXPECT_DOUBLE_EQ(parse_count("7B").value_or(-1), 7e9);
  EXPECT_DOUBLE_EQ(parse_count("8.03 b").value_or(-1), 8.03e9);
  EXPECT_DOUBLE_EQ(parse_count("134.52M").value_or(-1), 134.52e6);
  EXPECT_DOUBLE_EQ(parse_count("4096").value_or(-1), 4096);
  EXPECT_DOUBLE_EQ(parse_count("1k").value_or(-1), 1000);
}

TEST(Count, WhatIsNoneIsNone) {
  for (const char* text : {"", "B", "8x7B", "-1", "1.", ".5", "1.2.3", "seven", "7Q"})
    EXPECT_FALSE(parse_count(text)) << text;
}

}  // namespace
}  // namespace berth
