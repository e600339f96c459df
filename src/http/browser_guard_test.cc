#include "http/browser_guard.h"

#include <gtest/gtest.h>

namespace berth::http {
namespace {

Request from(std::string_view host, Headers headers = {}, std::string method = "GET") {
  return {.method = std::move(method),
          .url = *parse_url("http://" + std::string(host) + "/"),
          .headers = std::move(headers),
          .body = {},
          .peer = "127.0.0.1"};
}
int status_of(const Request& request, const BrowserRules& rules = {},
              FormTypes forms = FormTypes::kRefuse) {
  const auto answer = guard_browser(request, rules, forms);
  return answer ? answer->status : 0;
}

TEST(BrowserGuard, HostIsOneOfOurs) {
  for (const std::string_view host :
       {"localhost", "localhost:12434", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "a.localhost"}) {
    EXPECT_EQ(status_of(from(host)), 0) << host;
  }
  for (const std::string_view host : {"evil.example", "localhost.evil.example", "192.168.0.1",
                                      "10.0.0.1:12434", "127.0.0.1.evil.example", "[fe80::1]"}) {
    EXPECT_EQ(status_of(from(host)), 403) << host;
  }
  EXPECT_EQ(status_of(from("models.lan"), {.hosts = {"models.lan"}}), 0);
  EXPECT_EQ(status_of(from("models.lan"), {.hosts = {"*"}}), 0);
}

TEST(BrowserGuard, UnixSocketTakesAnyHost) {
  Request request = from("anything");
  request.peer = "unix";
  EXPECT_EQ(status_of(request), 0);
}

TEST(BrowserGuard, ForwardedHostIsNotBelieved) {
  EXPECT_EQ(status_of(from("localhost", {{"X-Forwarded-Host", "localhost"}})), 400);
}

TEST(BrowserGuard, Origins) {
  for (const std::string_view origin : {"http://localhost:3000", "https://127.0.0.1:8080",
                                        "http://[::1]:5173", "http://localhost"}) {
    EXPECT_EQ(status_of(from("localhost:12434", {{"Origin", std::string(origin)}})), 0) << origin;
  }
  for (const std::string_view origin :
       {"null", "file://", "https://evil.example", "http://localhost.evil.example",
        "chrome-extension://abc", "http://evil@localhost", "http://localhost/x", ""}) {
    EXPECT_EQ(status_of(from("localhost", {{"Origin", std::string(origin)}})), 403) << origin;
  }
  EXPECT_EQ(status_of(from("localhost",
                           {{"Origin", "http://localhost"}, {"Origin", "http://evil.example"}})),
            403);
  EXPECT_EQ(status_of(from("localhost", {{"Origin", "null"}}), {.origins = {"*"}}), 403);
  EXPECT_EQ(status_of(from("localhost", {{"Origin", "https://app.example"}}),
                      {.origins = {"https://app.example"}}),
            0);
  EXPECT_EQ(status_of(from("127.0.0.1", {{"Origin", "http://localhost:3000"}}),
                      {.loopback_origins = LoopbackOrigins::kRefuse}),
            403);
  EXPECT_EQ(status_of(from("m.lan:80", {{"Origin", "https://m.lan"}}), {.hosts = {"m.lan"}}), 0);
}

TEST(BrowserGuard, FetchMetadata) {
  EXPECT_EQ(status_of(from("localhost", {{"Sec-Fetch-Site", "cross-site"}})), 403);
  EXPECT_EQ(status_of(from("localhost", {{"Sec-Fetch-Site", "same-origin"}})), 0);
  EXPECT_EQ(status_of(from("localhost", {{"Sec-Fetch-Site", "cross-site"},
                                         {"Origin", "http://localhost:3000"}})),
            0);
}

TEST(BrowserGuard, FormsCannotChangeAnything) {
  for (const std::string_view type :
       {"text/plain", "Text/Plain; charset=utf-8", "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded"}) {
    EXPECT_EQ(status_of(from("localhost", {{"Content-Type", std::string(type)}}, "POST")), 415)
        << type;
    EXPECT_EQ(status_of(from("localhost", {{"Content-Type", std::string(type)}}, "GET")), 0)
        << type;
    EXPECT_EQ(status_of(from("localhost", {{"Content-Type", std::string(type)}}, "POST"), {},
                        FormTypes::kAllow),
              0);
  }
  EXPECT_EQ(status_of(from("localhost", {{"Content-Type", "application/json"}}, "POST")), 0);
  EXPECT_EQ(status_of(from("localhost", {}, "POST")), 0);
}

TEST(BrowserGuard, AnswersPreflights) {
  const Request request = from("localhost:12434",
                               {{"Origin", "http://localhost:3000"},
                                {"Access-Control-Request-Method", "POST"},
                                {"Access-Control-Request-Headers", "content-type"}},
                               "OPTIONS");
  const auto answer = guard_browser(request, {});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  EXPECT_EQ(answer->headers.get("Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(answer->headers.get("Access-Control-Allow-Headers"), "content-type");
  EXPECT_FALSE(answer->headers.get("Access-Control-Allow-Credentials"));
  EXPECT_EQ(allowed_origin(request, {}), "http://localhost:3000");
  EXPECT_EQ(
      status_of(from("localhost",
                     {{"Origin", "http://e.example"}, {"Access-Control-Request-Method", "POST"}},
                     "OPTIONS")),
      403);
}

}  // namespace
}  // namespace berth::http
