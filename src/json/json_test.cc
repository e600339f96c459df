#include "json/json.h"

#include <gtest/gtest.h>

namespace berth::json {
namespace {

Code code_of(std::string_view text, Limits limits = {}) {
  const auto result = parse(text, "document", limits);
  return result ? Code::kInternal : result.error().code();
}

TEST(Json, KeepsTheOrderOfKeys) {
  EXPECT_EQ(serialize(parse(R"({"b":1,"a":[true,null,"x"]})", "d").value()),
            R"({"b":1,"a":[true,null,"x"]})");
}

TEST(Json, WritesNumbersAsPeopleDo) {
  EXPECT_EQ(serialize(Object{{"t", 0.0}, {"p", Array{0.7, 1e300, -2.5}}, {"n", 3}, {"s", "x"}}),
            R"({"t":0,"p":[0.7,1e+300,-2.5],"n":3,"s":"x"})");
  EXPECT_EQ(serialize(Value(0.1)), "0.1");
  EXPECT_EQ(serialize(Value(1.0 / 0.0)), "null");
  EXPECT_EQ(pretty(Array{0.25}), "[\n  0.25\n]\n");
  EXPECT_EQ(parse(serialize(Value(1.0 / 3)), "d")->as_double(), 1.0 / 3);
}

TEST(Json, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_EQ(code_of(R"({"a":1,"a":2})"), Code::kInvalid);
  EXPECT_EQ(code_of(R"({"x":[{"a":1,"b":2,"a":3}]})"), Code::kInvalid);
  EXPECT_TRUE(parse(R"({"a":{"a":1},"b":{"a":2}})", "d"));
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* bad :
       {"", "{", "{} x", "{'a':1}", "[1,]", "nul", "\"\xff\"", "{\"a\":NaN}", "/*c*/{}"}) {
    EXPECT_EQ(code_of(bad), Code::kInvalid) << bad;
  }
}

TEST(Json, RefusesNumbersThatNoDoubleHolds) {
  EXPECT_TRUE(parse("[1e308]", "x"));
  EXPECT_EQ(parse("[1e999]", "x").error().code(), Code::kInvalid);
  EXPECT_EQ(parse("[-1e999]", "x").error().code(), Code::kInvalid);
}

TEST(Json, BoundsSizeAndDepth) {
  EXPECT_EQ(code_of("[[[1]]]", {.bytes = 100, .depth = 2}), Code::kTooLarge);
  EXPECT_EQ(code_of("[1,2,3]", {.bytes = 3}), Code::kTooLarge);
  EXPECT_EQ(code_of(std::string(100'000, '[')), Code::kTooLarge);
}

TEST(View, NamesThePathOfAFault) {
  const Value value = parse(R"({"layers":[{"size":"big"}]})", "m").value();
  const View view(value, "manifest");
  EXPECT_EQ(view.array_or_empty("layers").value()[0].u64("size").error().message(),
            "manifest.layers[0].size: expected a non-negative whole number");
  EXPECT_EQ(view.string("mediaType").error().message(), "manifest.mediaType is missing");
}

TEST(View, DefaultsApplyToAbsentAndNullOnly) {
  const Value value = parse(R"({"a":null,"b":7})", "m").value();
  const View view(value, "v");
  EXPECT_EQ(view.string_or("a", "x").value(), "x");
  EXPECT_EQ(view.u64_or("c", 5).value(), 5u);
  EXPECT_FALSE(view.string_or("b", "x"));
}

TEST(Json, PrettyIsStable) {
  EXPECT_EQ(pretty(parse(R"({"a":[1,{}],"b":{"c":[]}})", "d").value()),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": []\n  }\n}\n");
}

}  // namespace
}  // namespace berth::json
