// For tests of any module: a scripted HTTP server on a free loopback port that records what it was
// asked.
//
//   rt::Loop loop;
//   http::Imposter imposter(loop);                       // in the test body, not in a coroutine
//   imposter.when("GET", "/v2/").reply(http::reply(200, "application/json", "{}"));
//   imposter.when("GET", "/blob").raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");   //
//   then it closes imposter.when("*", "/models/{name...}").call([](const http::Recorded& r) {
//   return …; }); loop.run(the_test(imposter.url("/v2/"))); EXPECT_EQ(imposter.requests().size(),
//   1);
//
// Rules of the same method and pattern form a sequence: each answers once and the last one stays.
// Nothing matches: 404. Request bodies are read whole (at most 256 MiB) before the answer unless
// the rule says unread(). Loop thread; it must be made and destroyed while the loop does not run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http/router.h"
#include "http/server.h"
#include "rt/loop.h"

namespace berth::http {

struct Recorded {
  std::string method;
  Url url;
  Headers headers;
  std::string body;
  Params params;
  std::string target() const { return url.query.empty() ? url.path : url.path + "?" + url.query; }
};

class Imposter {
 public:
  using Answer = std::function<Response(const Recorded&)>;
  using Work = std::function<rt::Task<Result<Response>>(rt::Op&, Request, Params)>;

  class Rule {
   public:
    Rule& reply(Response response);  // of a body that is a string; repeatable
    Rule& reply(int status, std::string body = "");
    Rule& call(Answer answer);
    Rule& work(Work work);  // full control, body not read before
    Rule& raw(
        std::string bytes);  // these bytes instead of an answer, then the connection is closed
    Rule& hang();            // never answers; ends with the connection
    Rule& unread();          // answers without reading the request's body

   private:
    friend class Imposter;
    struct Step {
      Work work;  // the answer when set, otherwise `answer`
      Answer answer;
      bool unread = false;
    };
    std::vector<Step> steps_;
    std::size_t next_ = 0;
  };

  explicit Imposter(rt::Loop& loop, ServerLimits limits = {});
  // With TLS: a certificate for "localhost" and 127.0.0.1 made on the spot; ca_file() is to be
  // trusted.
  static std::unique_ptr<Imposter> with_tls(rt::Loop& loop);
  ~Imposter();
  Imposter(const Imposter&) = delete;
  Imposter& operator=(const Imposter&) = delete;

  // A router pattern (router.h). Method "*" is any.
  Rule& when(std::string_view method, std::string_view pattern);

  std::string url(std::string_view path_and_query = "/") const;  // "http://127.0.0.1:PORT/…"
  Url parsed_url(std::string_view path_and_query = "/") const;
  std::uint16_t port() const;
  std::string authority() const;  // "127.0.0.1:PORT"
  std::string ca_file() const;

  const std::vector<Recorded>& requests() const;
  // Those of one method and path.
  std::size_t count(std::string_view method, std::string_view path) const;
  void forget_requests();
  // How many connections were accepted so far.
  std::size_t connections_made() const;

 private:
  struct Core;
  explicit Imposter(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace berth::http
