#include "http/sse.h"

#include <gtest/gtest.h>

#include "http/testing.h"

namespace berth::http {
namespace {

std::vector<SseEvent> parse(std::string_view text, std::size_t piece) {
  SseParser parser;
  std::vector<SseEvent> events;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    EXPECT_TRUE(parser.feed(text.substr(at, piece)));
    while (auto event = parser.next()) events.push_back(std::move(*event));
  }
  return events;
}

TEST(Sse, ParsesHoweverItIsCut) {
  const std::string text =
      "\xEF\xBB\xBF: comment\r\ndata: one\r\n\r\nevent: delta\ndata:two\ndata:  three\nid: "
      "7\n\nretry: 3\n\ndata\n\rdata: "
      "cr\r\rdata: unfinished";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    const auto events = parse(text, piece);
    ASSERT_EQ(events.size(), 4u) << piece;
    EXPECT_EQ(events[0].data, "one");
    EXPECT_EQ(events[0].event, "");
    EXPECT_EQ(events[1].event, "delta");
    EXPECT_EQ(events[1].data, "two\n three");
    EXPECT_EQ(events[1].id, "7");
    EXPECT_EQ(events[2].data, "");
    EXPECT_EQ(events[3].data, "cr");
  }
}

TEST(Sse, BoundsLinesAndEvents) {
  SseParser lines(16);
  EXPECT_EQ(lines.feed("data: 0123456789abcdef").error().code(), Code::kTooLarge);
  SseParser events(16);
  EXPECT_TRUE(events.feed("data: 01234567\n"));
  EXPECT_EQ(events.feed("data: 0123456789\n").error().code(), Code::kTooLarge);
  SseParser ends(16);  // lines of nothing are still lines
  std::string many;
  for (int i = 0; i < 18; ++i) many += "data\n";
  EXPECT_EQ(ends.feed(many).error().code(), Code::kTooLarge);
}

TEST(Sse, WritesWhatItReads) {
  EXPECT_EQ(sse_event("x"), "data: x\n\n");
  EXPECT_EQ(sse_event("a\nb\r\nc", "up\ndate"), "event: update\ndata: a\ndata: b\ndata: c\n\n");
  EXPECT_EQ(parse(sse_event("a\n\nb"), 3).at(0).data, "a\n\nb");
}

rt::Task<Result<std::vector<std::string>>> all_events(Body body) {
  rt::Op op;
  SseStream stream(std::move(body));
  std::vector<std::string> data;
  while (true) {
    CO_TRY(const auto event, co_await stream.next(op));
    if (!event) co_return data;
    data.push_back(event->data);
  }
}
TEST(Sse, StreamPullsEventsOutOfABody) {
  rt::Loop loop;
  const std::vector<std::string> expected = {"1", "2"};
  const std::string text = "data: 1\n\ndata: 2\n\ndata: cut";
  EXPECT_EQ(*loop.run(all_events(Body(text))), expected);
  EXPECT_EQ(*loop.run(all_events(Body(std::make_unique<TextReader>(text, 5), std::nullopt))),
            expected);
}

}  // namespace
}  // namespace berth::http
