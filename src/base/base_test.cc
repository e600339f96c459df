#include <cerrno>
#include <gtest/gtest.h>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Code::kInvalid, "{} is odd", n);
  return n / 2;
}

Result<int> quarter(int n) {
  TRY(const int once, half(n));
  TRY(const int twice, half(once));
  return twice;
}

TEST(Error, TryReturnsTheFirstFailure) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message(), "3 is odd");
}

TEST(Error, ContextComesFirst) {
  const auto result = in_context(half(1), "halving");
  EXPECT_EQ(result.error().message(), "halving: 1 is odd");
}

TEST(Error, EveryCodeHasItsOwnName) {
  for (int i = 0; i < kCodeCount; ++i) {
    EXPECT_EQ(code_from_string(to_string(static_cast<Code>(i))), static_cast<Code>(i));
  }
}

TEST(Error, ErrnoChoosesTheCode) {
  EXPECT_EQ(fail_errno(ENOSPC, "write").error().code(), Code::kExhausted);
  EXPECT_EQ(fail_errno(EROFS, "write").error().code(), Code::kDenied);
  EXPECT_EQ(fail_errno(EIO, "write").error().code(), Code::kIo);
}

TEST(Text, HexRoundTrip) {
  EXPECT_EQ(hex_encode(as_bytes("\x01\xff")), "01ff");
  EXPECT_EQ(as_text(hex_decode("01fF").value()), "\x01\xff");
  EXPECT_FALSE(hex_decode("0g"));
  EXPECT_FALSE(hex_decode("012"));
}

TEST(Text, Base64MatchesRfc4648Vectors) {
  EXPECT_EQ(base64_encode(as_bytes("")), "");
  EXPECT_EQ(base64_encode(as_bytes("f")), "Zg==");
  EXPECT_EQ(base64_encode(as_bytes("fo")), "Zm8=");
  EXPECT_EQ(base64_encode(as_bytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(base64_decode("Zm8="), "fo");
  EXPECT_EQ(base64_decode("Zm8"), "fo");
  EXPECT_FALSE(base64_decode("Z"));
  EXPECT_FALSE(base64_decode("Zm 8"));
}

TEST(Text, ParsesDurations) {
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("-1"), -1ms);
  EXPECT_EQ(parse_duration("0"), 0ms);
  for (const char* bad : {"", "5", "m", "5x", "1e9h", "- 1s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Text, ParsesSizes) {
  EXPECT_EQ(parse_size("10MB"), 10'000'000u);
  EXPECT_EQ(parse_size("8 GiB"), 8ULL << 30);
  EXPECT_EQ(parse_size("42"), 42u);
  for (const char* bad : {"", "MB", "-1", "1 XB", "99999999EB"})
    EXPECT_FALSE(parse_size(bad)) << bad;
}

TEST(Text, FormatsSizesWithThreeDigits) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(999), "999 B");
  EXPECT_EQ(format_size(91'727'520), "91.7 MB");
  EXPECT_EQ(format_size(999'999), "1.00 MB");
  EXPECT_EQ(format_size(std::numeric_limits<std::uint64_t>::max()), "18.4 EB");
}

TEST(Text, TimesRoundTrip) {
  EXPECT_EQ(format_rfc3339(std::chrono::sys_seconds(0s)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(parse_rfc3339("2026-11-24T20:08:20Z").value(),
            parse_rfc3339("2026-11-24T21:08:20.123+01:00").value());
  for (const char* bad :
       {"", "2026-13-01T00:00:00Z", "2026-11-24", "2026-11-24T20:08:20", "2026-11-24T20:08:20Zx"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(Text, AgoIsNeverInTheFuture) {
  const std::chrono::sys_seconds now(1'000'000s);
  EXPECT_EQ(format_ago(now + 1h, now), "Just now");
  EXPECT_EQ(format_ago(now - 1min, now), "1 minute ago");
  EXPECT_EQ(format_ago(now - 72h, now), "3 days ago");
}

TEST(Text, PrintableDisarmsTerminalEscapes) {
  EXPECT_EQ(printable("a\x1b[31mb\n"), "a\\x1b[31mb\\x0a");
  EXPECT_EQ(printable("\xc2\x9b"
                      "1m"),
            "\\x9b1m");
  EXPECT_EQ(printable("Grüße"), "Grüße");
  EXPECT_EQ(printable("abcdef", 3), "abc…");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
}

TEST(UniqueFd, MovesOwnership) {
  UniqueFd a(::dup(2));
  const int fd = a.get();
  UniqueFd b = std::move(a);
  EXPECT_EQ(b.get(), fd);
  EXPECT_FALSE(
      a);  // NOLINT(bugprone-use-after-move): the moved-from state is the promise under test
}

TEST(Log, TellsWhoListensUntilToldNotTo) {
  std::vector<std::string> heard;
  log::tap([&](std::string_view line) { heard.emplace_back(line); });
  log::warning("disk {} is full", 1);
  log::debug("not written, so not told");
  log::tap(nullptr);
  log::warning("nobody listens");
  EXPECT_EQ(heard, std::vector<std::string>{"warning: disk 1 is full"});
}

}  // namespace
}  // namespace berth
