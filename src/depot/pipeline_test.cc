#include "depot/pipeline.h"

#include <gtest/gtest.h>

#include "depot/depot_fixture.h"

namespace berth::depot {
namespace {

class PipelineTest : public testing::Test {
 public:
  Status run(FakeBody& body, std::uint64_t offset = 0) {
    Pipeline pipeline(
        loop,
        [this](std::uint64_t at, Bytes bytes) -> Status {
          EXPECT_EQ(at, offset_of(written));
          written += as_text(bytes);
          return written.size() > write_fails_at ? fail(Code::kExhausted, "full") : Status();
        },
        [this](std::uint64_t at, Bytes bytes) -> Status {
          EXPECT_EQ(at, offset_of(hashed));
          hashed += as_text(bytes);
          return hashed.size() > hash_fails_at ? fail(Code::kIo, "cannot read") : Status();
        },
        [this](std::uint64_t end) { held = end; });
    begin = offset;
    return loop.run(pipeline.run(op, body, offset));
  }
  std::uint64_t offset_of(const std::string& so_far) const { return begin + so_far.size(); }
  static std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 3);
    return text;
  }

  rt::Loop loop;
  rt::Op op;
  std::string written;
  std::string hashed;
  std::uint64_t begin = 0;
  std::uint64_t held = 0;
  std::size_t write_fails_at = SIZE_MAX;
  std::size_t hash_fails_at = SIZE_MAX;
};

TEST_F(PipelineTest, EverythingIsWrittenAndHashedInOrder) {
  for (const std::size_t size : {0, 1, 70'000, 524'288, 5'000'000}) {
    for (const std::size_t a_read : {1'000, 1 << 20}) {
      written.clear();
      hashed.clear();
      FakeBody body(loop, pattern(size), FakeBody::Then::kEnd, a_read);
      ASSERT_TRUE(run(body, 100));
      EXPECT_EQ(written, pattern(size));
      EXPECT_EQ(hashed, pattern(size));
      if (size > 0) EXPECT_EQ(held, 100 + size);
    }
  }
}

TEST_F(PipelineTest, WhatCameBeforeABreakIsWritten) {
  FakeBody body(loop, pattern(700'001), FakeBody::Then::kBreak);
  EXPECT_EQ(run(body).error().code(), Code::kUnavailable);
  EXPECT_EQ(written, pattern(700'001));
  EXPECT_EQ(held, 700'001u);
}

TEST_F(PipelineTest, AFullDiskEndsItWithoutReadingOn) {
  write_fails_at = 1'000'000;
  FakeBody body(loop, pattern(50'000'000));
  EXPECT_EQ(run(body).error().code(), Code::kExhausted);
  EXPECT_LT(held, 1'000'001u);
  EXPECT_LT(written.size(), 5'000'000u);
}

TEST_F(PipelineTest, AFailingHashEndsItToo) {
  hash_fails_at = 1'000'000;
  FakeBody body(loop, pattern(50'000'000));
  EXPECT_EQ(run(body).error().code(), Code::kIo);
  EXPECT_LT(hashed.size(), 5'000'000u);
}

TEST_F(PipelineTest, CancellingEndsItAndKeepsWhatCame) {
  FakeBody body(loop, pattern(200'000), FakeBody::Then::kHang);
  Pipeline pipeline(
      loop,
      [this](std::uint64_t, Bytes bytes) -> Status {
        written += as_text(bytes);
        return {};
      },
      [](std::uint64_t, Bytes) -> Status { return {}; }, [this](std::uint64_t) { op.cancel(); });
  EXPECT_EQ(loop.run(pipeline.run(op, body, 0)).error().code(), Code::kCancelled);
  EXPECT_GT(body.given(), 0u);
  EXPECT_EQ(written, pattern(200'000).substr(0, body.given()));
}

}  // namespace
}  // namespace berth::depot
