// What a registry says of its models, read back; and what it should not say.
#include "control/registry_view.h"

#include <gtest/gtest.h>

namespace berth::control {
namespace {

template <class T>
Result<T> read(Result<T> (*from)(const json::View&), std::string_view text) {
  TRY(const json::Value value, json::parse(text, "the answer"));
  return from(json::View(value, "the answer"));
}

TEST(RegistryView, AModelIsReadAsItWasWritten) {
  const RegistryModel model{.repository = "a",
                            .digest = "sha256:00",
                            .tags = {"v1"},
                            .pushed = Time(std::chrono::seconds(1'700'000'000)),
                            .architecture = "llama",
                            .parameters = 7,
                            .findings = {"x"}};
  const std::string text = json::serialize(to_json(model));
  const auto again = read(registry_model_from, text);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(json::serialize(to_json(*again)), text);
}

TEST(RegistryView, WhatIsNotKnownMayBeLeftOut) {
  const auto model = read(registry_model_from,
                          R"({"repository":"a","digest":"d","pushed":"2026-01-01T00:00:00Z"})");
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->parameters, 0u);
}

TEST(RegistryView, AVerificationIsReadAsItWasWritten) {
  RegistryVerification seen{.pass = 7, .blobs = 3, .bytes = 9, .checked = 2, .checked_bytes = 8};
  seen.damaged = 1;
  seen.damages = {{"sha256:00", 5, "missing", {{"a", {"v1", "v2"}}, {"b", {}}}}};
  json::Object object = to_json(seen);
  object["pass"] = seen.pass;
  const auto again = read(registry_verification_from, json::serialize(object));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->pass, 7u);
  EXPECT_FALSE(again->running);
  EXPECT_EQ(json::serialize(to_json(*again)), json::serialize(to_json(seen)));
}

TEST(RegistryView, NonsenseIsRefused) {
  EXPECT_FALSE(read(registry_verification_from, R"({"pass":1})"));
  EXPECT_FALSE(read(registry_verification_from,
                    R"({"pass":1,"blobs":1,"bytes":1,"checked":1,"checked_bytes":1,"damaged":1,)"
                    R"("damages":[{"digest":7}]})"));
  EXPECT_FALSE(read(registry_model_from, R"({"repository":"a","digest":"d","pushed":"soon"})"));
  EXPECT_FALSE(read(registry_model_from, R"({"repository":7})"));
  EXPECT_FALSE(read(registry_tag_from, R"({"tag":"v1"})"));
  EXPECT_FALSE(read(registry_move_from, "[]"));
  EXPECT_FALSE(read(registry_usage_from, R"({"name":"a","bytes":1,"shared":2})"));
  EXPECT_FALSE(read(registry_usage_from, R"({"name":"a","bytes":-1,"shared":0})"));
  EXPECT_FALSE(read(registry_collection_from, R"({"dry_run":true})"));
}

}  // namespace
}  // namespace berth::control
