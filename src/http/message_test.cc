#include "http/message.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "http/testing.h"

namespace berth::http {
namespace {

using namespace std::string_literals;

TEST(Headers, CompareWithoutCase) {
  Headers headers{{"Content-Type", "a"}, {"X", "1"}, {"x", "2"}};
  EXPECT_EQ(headers.get("content-type"), "a");
  EXPECT_EQ(headers.get_all("X").size(), 2u);
  headers.set("x", "3");
  EXPECT_EQ(headers.get_all("X").size(), 1u);
  headers.remove("X");
  EXPECT_FALSE(headers.get("x"));
}

TEST(Headers, SetFromItsOwnValue) {
  Headers headers{{"A", "value that is long enough to be on the heap"}};
  headers.set("A", *headers.get("A"));
  EXPECT_EQ(headers.get("A"), "value that is long enough to be on the heap");
}

struct UrlCase {
  std::string_view text, host;
  std::uint16_t port;
  std::string_view path, query;
};
TEST(Url, Parses) {
  const UrlCase cases[] = {
      {"http://example.com", "example.com", 80, "/", ""},
      {"HTTPS://Example.COM:8443/a/b%2Fc?x=1&y=%20#part", "example.com", 8443, "/a/b%2Fc",
       "x=1&y=%20"},
      {"http://127.0.0.1:5000/v2/", "127.0.0.1", 5000, "/v2/", ""},
      {"http://[::1]:80/x", "::1", 80, "/x", ""},
      {"http://[2001:DB8::0:1]?q", "2001:db8::1", 80, "/", "q"},
      {"https://host:/p", "host", 443, "/p", ""},
      {"https://a_b.example.:443/", "a_b.example.", 443, "/", ""},
      {"http://h/\xC3\xA9?\xC3\xA9", "h", 80, "/%C3%A9", "%C3%A9"},
      {"/origin/form?a=b", "", 0, "/origin/form", "a=b"},
      {"//not/a/host", "", 0, "//not/a/host", ""},
  };
  for (const UrlCase& c : cases) {
    const auto url = parse_url(c.text);
    ASSERT_TRUE(url) << c.text << ": " << url.error().message();
    EXPECT_EQ(url->host, c.host) << c.text;
    EXPECT_EQ(url->port, c.port) << c.text;
    EXPECT_EQ(url->path, c.path) << c.text;
    EXPECT_EQ(url->query, c.query) << c.text;
  }
}

TEST(Url, RefusesWhatPartiesCouldReadDifferently) {
  const std::string cases[] = {
      "",
      "example.com",
      "ftp://h/",
      "file:///etc/passwd",
      "http:/h/",
      "http:h",
      "http://",
      "http:///x",
      "http://user@h/",
      "http://user:pw@h/",
      "http://good@evil/",
      "http://h:99999/",
      "http://h:0/",
      "http://h:-1/",
      "http://h:8 0/",
      "http://h:80:80/",
      "http://a b/",
      "http://h/a b",
      "http://h/\r\nX: y",
      "http://h/\x7f",
      "http://h/\0x"s,
      "http://h\0.evil/"s,
      "http://h\\@evil/",
      "http://h%2eevil/",
      "http://[::1/",
      "http://[::1]x/",
      "http://[::g]/",
      "http://[fe80::1%25eth0]/",
      "http://::1/",
      "http://127.1/",
      "http://2130706433/",
      "http://0x7f.0.0.1/",
      "http://0x7f000001/",
      "http://127.0.0.0x1/",
      "http://0177.0.0.1/",
      "http://1.2.3.4.5/",
      "http://256.1.1.1/",
      "http://a..b/",
      "http://.a/",
      "http://h\xC3\xA9/",
      "http://" + std::string(64, 'a') + "/",
      "http://h/" + std::string(20'000, 'a'),
  };
  for (const std::string& text : cases) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code(), Code::kInvalid) << text;
  }
}

TEST(Url, WritesItself) {
  EXPECT_EQ(parse_url("http://h:80/x?y")->to_string(), "http://h/x?y");
  EXPECT_EQ(parse_url("https://h:80")->to_string(), "https://h:80/");
  EXPECT_EQ(parse_url("http://[::1]:8080/x")->authority(), "[::1]:8080");
  EXPECT_EQ(parse_url("/x?y")->to_string(), "/x?y");
}

TEST(Url, OriginIsSchemeHostAndPort) {
  const Url url = *parse_url("https://h/a");
  EXPECT_TRUE(url.same_origin(*parse_url("https://H:443/b")));
  EXPECT_FALSE(url.same_origin(*parse_url("http://h:443/")));
  EXPECT_FALSE(url.same_origin(*parse_url("https://h:8443/")));
  EXPECT_FALSE(url.same_origin(*parse_url("https://h.evil/")));
}

TEST(Url, ResolvesAsTheStandardSays) {
  const Url base = *parse_url("http://a/b/c/d;p?q");
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"", "http://a/b/c/d;p?q"},
      {"#s", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../..", "http://a/"},
      {"../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"https://other:8443/x/../y", "https://other:8443/y"},
  };
  for (const auto& [reference, expected] : cases) {
    const auto url = resolve_url(base, reference);
    ASSERT_TRUE(url) << reference << ": " << url.error().message();
    EXPECT_EQ(url->to_string(), expected) << reference;
  }
}

TEST(Url, ResolveRefusesForeignSchemes) {
  const Url base = *parse_url("http://a/b");
  EXPECT_FALSE(resolve_url(base, "file:///etc/passwd"));
  EXPECT_FALSE(resolve_url(base, "gopher://h/"));
  EXPECT_FALSE(resolve_url(base, "//user@h/"));
}

TEST(Percent, Codes) {
  EXPECT_EQ(percent_encode("a/b c~\xC3\xA9"), "a%2Fb%20c~%C3%A9");
  EXPECT_EQ(percent_decode("a%2fb%20c+d"), "a/b c+d");
  EXPECT_EQ(percent_decode("100%"), "100%");
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4");
  EXPECT_EQ(percent_decode("%00"), "\0"s);
}

TEST(Query, Gets) {
  EXPECT_EQ(query_get("a=1&b=x+y%26&b=2&c", "b"), "x y&");
  EXPECT_EQ(query_get_all("b=1&b=2", "b"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(query_get("c", "c"), "");
  EXPECT_EQ(query_get("a%3Db=1", "a=b"), "1");
  EXPECT_FALSE(query_get("", "a"));
  EXPECT_FALSE(query_get("", ""));
}

Result<std::string> read_now(Body body, std::uint64_t limit) {
  rt::Loop loop;
  rt::Op op;
  return loop.run(read_all(op, std::move(body), limit));
}

TEST(ReadAll, BoundsEveryShape) {
  EXPECT_EQ(*read_now(Body("four"), 4), "four");
  EXPECT_EQ(read_now(Body("fives"), 4).error().code(), Code::kTooLarge);
  EXPECT_EQ(*read_now(Body(std::make_unique<TextReader>("abcdef", 4), std::nullopt), 6), "abcdef");
  EXPECT_EQ(
      read_now(Body(std::make_unique<TextReader>("abcdef", 4), std::nullopt), 5).error().code(),
      Code::kTooLarge);
  EXPECT_EQ(read_now(Body(std::make_unique<TextReader>("", 4), 1ULL << 60), 5).error().code(),
            Code::kTooLarge);
  EXPECT_EQ(*read_now(Body(std::unique_ptr<Reader>(), std::nullopt), 5), "");
}

FileRange memory_file(std::string_view text, std::uint64_t offset, std::uint64_t length) {
  UniqueFd fd(::memfd_create("body", 0));
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return {.file = std::move(fd), .offset = offset, .length = length};
}

TEST(ReadAll, ReadsAFile) {
  EXPECT_EQ(*read_now(Body(memory_file("0123456789", 2, 5)), 5), "23456");
  EXPECT_EQ(read_now(Body(memory_file("0123456789", 2, 5)), 4).error().code(), Code::kTooLarge);
  EXPECT_EQ(read_now(Body(memory_file("0123456789", 8, 5)), 9).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace berth::http
