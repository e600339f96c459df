#include "http/router.h"

#include <gtest/gtest.h>

#include "http/testing.h"

namespace berth::http {
namespace {

rt::Task<Result<Response>> says(std::string text) {
  co_return reply(200, "text/plain", std::move(text));
}

// Answers with its name and what its placeholders matched.
Router::Handler named(std::string name, std::vector<std::string> params = {}) {
  return [name, params](rt::Op&, const Request&, const Params& matched) {
    std::string text = name;
    for (const std::string& param : params) text += " " + param + "=" + matched.get(param);
    return says(text);
  };
}

Fetched ask(Router& router, std::string method, std::string_view path) {
  rt::Loop loop;
  return *fetch_now(loop, router, request_to(*parse_url(path), std::move(method)));
}
std::string body_of(Router& router, std::string_view path) { return ask(router, "GET", path).body; }

TEST(Router, MatchesSegments) {
  Router router;
  router.add("GET", "/", named("root"));
  router.add("GET", "/version", named("version"));
  router.add("GET", "/models/{id}", named("one", {"id"}));
  EXPECT_EQ(body_of(router, "/"), "root");
  EXPECT_EQ(body_of(router, "/version"), "version");
  EXPECT_EQ(body_of(router, "//version/"), "version");
  EXPECT_EQ(body_of(router, "/models/a%20b"), "one id=a b");
  EXPECT_EQ(ask(router, "GET", "/models/a/b").status, 404);
  EXPECT_EQ(ask(router, "GET", "/models").status, 404);
}

TEST(Router, ManySegmentsAreAnchored) {
  Router router;
  router.add("GET", "/models/{name...}", named("show", {"name"}));
  router.add("GET", "/models/{name...}/tag", named("tag", {"name"}));
  router.add("GET", "/v2/{name...}/blobs/{digest}", named("blob", {"name", "digest"}));
  router.add("GET", "/models/json", named("list"));
  EXPECT_EQ(body_of(router, "/models/ai/smollm2"), "show name=ai/smollm2");
  EXPECT_EQ(body_of(router, "/models/ai/smollm2/tag"), "tag name=ai/smollm2");
  EXPECT_EQ(body_of(router, "/models/tag"), "show name=tag");
  EXPECT_EQ(body_of(router, "/models/tag/tag"), "tag name=tag");
  EXPECT_EQ(body_of(router, "/models/json"), "list");
  EXPECT_EQ(body_of(router, "/v2/a/blobs/b/blobs/sha256:1"), "blob name=a/blobs/b digest=sha256:1");
}

TEST(Router, TheMostSpecificWinsInAnyOrder) {
  for (const bool reversed : {false, true}) {
    Router router;
    std::vector<std::pair<std::string, std::string>> routes = {
        {"/a/{rest...}", "many"}, {"/a/{one}", "one"}, {"/a/b", "literal"}, {"/{all...}", "all"}};
    if (reversed) std::ranges::reverse(routes);
    for (const auto& [pattern, name] : routes) router.add("GET", pattern, named(name));
    EXPECT_EQ(body_of(router, "/a/b"), "literal");
    EXPECT_EQ(body_of(router, "/a/c"), "one");
    EXPECT_EQ(body_of(router, "/a/c/d"), "many");
    EXPECT_EQ(body_of(router, "/x"), "all");
  }
}

TEST(Router, EscapesDoNotLeaveTheirSegment) {
  Router router;
  router.add("GET", "/files/{name}", named("file", {"name"}));
  router.add("GET", "/tree/{path...}", named("tree", {"path"}));
  for (const std::string_view path :
       {"/files/a%2Fb", "/files/%2e%2e", "/files/..", "/files/a%00b", "/tree/a/../b",
        "/tree/a/%2E%2E/b", "/tree/a%2fb", "/tree/."}) {
    EXPECT_EQ(ask(router, "GET", path).status, 404) << path;
  }
  EXPECT_EQ(body_of(router, "/files/..."), "file name=...");
}

TEST(Router, SaysWhatIsAllowed) {
  Router router;
  router.add("GET", "/m/{id}", named("get"));
  router.add("DELETE", "/m/{id}", named("delete"));
  router.add("POST", "/{all...}", named("post"));
  const Fetched refused = ask(router, "PUT", "/m/1");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("Allow"), "DELETE, GET, HEAD");
  EXPECT_EQ(refused.headers.get("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(ask(router, "POST", "/m/1").body, "post");
}

TEST(Router, HeadFallsToGet) {
  Router router;
  router.add("GET", "/a", named("get"));
  router.add("GET", "/b", named("get"));
  router.add("HEAD", "/b", named("head"));
  EXPECT_EQ(ask(router, "HEAD", "/a").body, "get");
  EXPECT_EQ(ask(router, "HEAD", "/b").body, "head");
}

TEST(Router, AnyMethodAndFallback) {
  Router router;
  router.add("*", "/any", named("any"));
  router.add("POST", "/any", named("post"));
  router.not_found(named("fallback"));
  EXPECT_EQ(ask(router, "PATCH", "/any").body, "any");
  EXPECT_EQ(ask(router, "POST", "/any").body, "post");
  EXPECT_EQ(body_of(router, "/nothing"), "fallback");
}

}  // namespace
}  // namespace berth::http
