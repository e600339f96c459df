#include "api/progress.h"

#include <gtest/gtest.h>

#include "api/fakes.h"

namespace berth::api {
namespace {

using Kind = control::Event::Kind;

struct Progress : fakes::ApiTest {
  void SetUp() override {
    transfers.events = {
        {.kind = Kind::kTotal, .size = 300},
        {.kind = Kind::kLayer, .layer = fakes::kId, .current = 100, .size = 300},
        {.kind = Kind::kLayer, .layer = fakes::kId, .current = 110, .size = 300},
        {.kind = Kind::kLayerDone, .layer = fakes::kId, .current = 300, .size = 300}};
  }
  fakes::Got pull(const char* accept) {
    auto create = request("POST", "/models/create", R"({"from":"ai/m","bearer-token":"t"})");
    if (*accept) create.headers.set("Accept", accept);
    return send(std::move(create));
  }
};

TEST_F(Progress, RawJsonForWhoAsksForIt) {
  const auto got = pull("application/json");
  EXPECT_EQ(got.header("Content-Type"), "application/json");
  const std::string layer = R"("layer":{"id":")" + fakes::kId + R"(","size":300,"current":)";
  const auto lines = split(got.body, '\n');
  ASSERT_EQ(lines.size(), 4u) << got.body;  // the second event of the layer came too soon
  EXPECT_EQ(lines[0], R"({"type":"progress","message":"Downloaded: 100 B","total":300,)" + layer +
                          R"(100},"mode":"pull"})");
  EXPECT_EQ(lines[1], R"({"type":"progress","message":"Downloaded: 300 B","total":300,)" + layer +
                          R"(300},"mode":"pull"})");
  EXPECT_TRUE(lines[2].starts_with(
      R"({"type":"success","message":"Model pulled successfully","mode":"pull")"))
      << lines[2];
  EXPECT_EQ(transfers.bearer, "t");
}

TEST_F(Progress, EscapedTextForOthers) {
  const auto got = pull("application/json, text/plain");
  EXPECT_EQ(got.header("Content-Type"), "text/plain");
  EXPECT_TRUE(got.body.starts_with("{&#34;type&#34;:&#34;progress&#34;")) << got.body;
  EXPECT_EQ(escape_html("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt;");
}

TEST_F(Progress, ACachedModelSaysSo) {
  transfers.events.clear();
  transfers.cached = true;
  EXPECT_NE(pull("application/json").body.find("\"Using cached model: 91.7 MB\""),
            std::string::npos);
}

TEST_F(Progress, BeforeTheFirstByteAFailureHasItsStatus) {
  transfers.events.clear();
  const std::pair<Code, int> codes[] = {{Code::kInvalid, 400},     {Code::kUnauthenticated, 401},
                                        {Code::kNotFound, 404},    {Code::kUnsupported, 422},
                                        {Code::kUnavailable, 502}, {Code::kIo, 500}};
  for (const auto& [code, status] : codes) {
    transfers.failure = Error(code, "because");
    const auto got = pull("");
    EXPECT_EQ(got.status, status);
    EXPECT_EQ(got.body, "because\n");
    EXPECT_TRUE(got.header("Content-Type").starts_with("text/plain"));
  }
}

TEST_F(Progress, AfterItTheFailureIsALine) {
  transfers.failure = Error(Code::kDigestMismatch, "the bytes are wrong");
  const auto got = pull("application/json");
  EXPECT_EQ(got.status, 200);
  EXPECT_NE(
      got.body.find(
          R"({"type":"error","message":"the bytes are wrong","mode":"pull","code":"digest_mismatch"})"),
      std::string::npos)
      << got.body;
  EXPECT_EQ(got.body.find("success"), std::string::npos);
}

TEST_F(Progress, ACallerWhoLeavesCancelsThePull) {
  transfers.hangs = true;
  rt::Op op("test");
  Api& target = api();
  auto create = request("POST", "/models/create", R"({"from":"ai/m"})");
  auto response = loop.run(target.handle(op, std::move(create)));
  ASSERT_TRUE(response);
  EXPECT_FALSE(transfers.cancelled);
  response = http::Response();
  EXPECT_TRUE(loop.run(target.drain()));
  EXPECT_TRUE(transfers.cancelled);
}

TEST_F(Progress, ACallerWhoLeavesBeforeTheFirstLineCancelsAsWell) {
  transfers.events.clear();
  transfers.hangs = true;
  rt::Op op("test");
  transfers.on_hang = [&op] { op.cancel(); };
  Api& target = api();
  auto create = request("POST", "/models/create", R"({"from":"ai/m"})");
  auto response = loop.run(target.handle(op, std::move(create)));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 499);
  EXPECT_TRUE(loop.run(target.drain()));
  EXPECT_TRUE(transfers.cancelled);
}

TEST_F(Progress, LinesStayShort) {
  transfers.failure = Error(Code::kIo, std::string(200'000, 'x'));
  for (const std::string& line : split(pull("").body, '\n')) EXPECT_LT(line.size(), 64u * 1024);
}

}  // namespace
}  // namespace berth::api
