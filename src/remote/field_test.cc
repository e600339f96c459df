#include "remote/field.h"

#include <gtest/gtest.h>

namespace berth::remote {
namespace {

using namespace std::chrono_literals;

TEST(ContentRange, Reads) {
  const auto range = parse_content_range("bytes 5-9/20");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 9u);
  EXPECT_EQ(range->total, 20u);
  EXPECT_FALSE(parse_content_range("bytes 0-0/*")->total);
}

TEST(ContentRange, LiesAreAbsent) {
  for (const char* text :
       {"", "bytes", "bytes 9-5/20", "bytes 0-20/20", "bytes */20", "bytes -5-9/20", "items 0-1/2",
        "bytes 0-1", "bytes 0-18446744073709551616/18446744073709551617"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(UploadRange, Reads) {
  EXPECT_EQ(parse_upload_range("0-99"), 100u);
  EXPECT_EQ(parse_upload_range("bytes=0-99"), 100u);
  for (const char* text : {"", "1-99", "0", "0--1", "0-18446744073709551615"})
    EXPECT_FALSE(parse_upload_range(text)) << text;
}

TEST(Link, FindsNext) {
  EXPECT_EQ(parse_next_link("</v2/a/tags/list?last=x&n=2>; rel=\"next\""),
            "/v2/a/tags/list?last=x&n=2");
  EXPECT_EQ(parse_next_link("<a>; rel=prev, <b>; title=x; rel=next"), "b");
  EXPECT_FALSE(parse_next_link("<a>; rel=\"prev\""));
  EXPECT_FALSE(parse_next_link("<a; rel=\"next\""));
  EXPECT_FALSE(parse_next_link(""));
}

TEST(RetryAfter, SecondsAndDates) {
  const std::chrono::sys_seconds now{1000s};
  EXPECT_EQ(retry_after({{"Retry-After", "7"}}, now), 7s);
  EXPECT_EQ(retry_after({{"Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"},
                         {"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}},
                        now),
            60s);
  EXPECT_EQ(retry_after({{"Retry-After", "Thu, 01 Jan 1970 00:17:00 GMT"}}, now), 20s);
  EXPECT_EQ(retry_after({{"Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"}}, now), 0s)
      << "in the past";
  EXPECT_FALSE(retry_after({}, now));
  EXPECT_FALSE(retry_after({{"Retry-After", "soon"}}, now));
  EXPECT_LE(*retry_after({{"Retry-After", "18446744073709551615"}}, now), 366 * 24h);
}

TEST(HttpDate, RefusesNonsense) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), std::chrono::sys_seconds(784111777s));
  EXPECT_FALSE(parse_http_date("Sun, 31 Feb 1994 08:49:37 GMT"));
  EXPECT_FALSE(parse_http_date("Sun, 06 Nov 1994 28:49:37 GMT"));
  EXPECT_FALSE(parse_http_date("Sun, 06 Xxx 1994 08:49:37 GMT"));
  EXPECT_FALSE(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"));
}

TEST(Warnings, TextsOfTheOneForm) {
  http::Headers headers;
  headers.add("Warning", "299 - \"a \\\"quoted\\\" word\"");
  headers.add("Warning", "110 - \"stale\"");
  headers.add("Warning", "299 registry \"agent\"");
  headers.add("Warning", "299 - \"\x1b[31mred\"");
  EXPECT_EQ(warnings(headers), (std::vector<std::string>{"a \"quoted\" word", "\\x1b[31mred"}));
  http::Headers long_ones;
  for (int i = 0; i < 9; ++i) long_ones.add("Warning", "299 - \"" + std::string(1000, 'x') + "\"");
  EXPECT_EQ(warnings(long_ones).size(), 4u);
}

TEST(MediaType, DropsParameters) {
  EXPECT_EQ(media_type({{"Content-Type", "Application/JSON; charset=utf-8"}}), "application/json");
  EXPECT_EQ(media_type({}), "");
}

TEST(ContentDigest, OnlyAWholeOne) {
  const std::string digest = oci::Digest::of(as_bytes("x")).string();
  EXPECT_EQ(content_digest({{"docker-content-digest", digest}})->string(), digest);
  EXPECT_FALSE(content_digest({{"docker-content-digest", "sha256:../../etc/passwd"}}));
  EXPECT_FALSE(content_digest({}));
}

}  // namespace
}  // namespace berth::remote
