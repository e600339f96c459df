#include "http/server.h"

#include <array>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "http/client.h"
#include "http/imposter.h"
#include "http/router.h"
#include "http/stream.h"
#include "http/testing.h"
#include "http/throwaway_certificate.h"

namespace berth::http {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

class Folder {
 public:
  Folder() {
    path_ = testing::TempDir() + "berth-http-XXXXXX";
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

rt::Task<Result<Response>> echo(rt::Op& op, Request request, Params) {
  CO_TRY(std::string body, co_await read_all(op, std::move(request.body), 1ULL << 30));
  co_return reply(200, "text/plain", request.method + " " + request.url.path + " " + body);
}

rt::Task<Result<Response>> fails(Code code) { co_return fail(code, "it broke"); }

// A Server over a Router with one end of a socketpair for each raw caller.
class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    router_.add("*", "/echo", echo);
    router_.add("GET", "/fail/{code}", [](rt::Op&, Request, const Params& params) {
      return fails(*code_from_string(params.get("code")));
    });
  }

  // Serves one connection to its end with these bytes sent; the caller's half is closed when
  // `half_close`.
  enum class Then { kStay, kCloseHalf };
  std::string exchange(std::string_view bytes, Then then = Then::kStay, ServerLimits limits = {}) {
    Server server(loop_, router_, limits);
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd caller(ends[0]);
    server.adopt(UniqueFd(ends[1]));
    EXPECT_EQ(::send(caller.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    if (then == Then::kCloseHalf) ::shutdown(caller.get(), SHUT_WR);
    rt::Op op;
    EXPECT_TRUE(loop_.run(serve_one(op, server, caller.get())));
    return std::move(heard_);
  }
  std::string once(std::string_view head) {
    return exchange("GET /echo HTTP/1.1\r\n"s + std::string(head) + "Connection: close\r\n\r\n");
  }

  // Until the server closed the connection.
  rt::Task<Status> serve_one(rt::Op& op, Server& server, int caller) {
    rt::Scope scope(loop_);
    scope.spawn(server.serve(op));
    Stream stream(loop_, UniqueFd(::dup(caller)));
    std::vector<std::byte> piece(4096);
    while (true) {
      const auto n = co_await stream.read(op, piece, kNever);
      if (!n || *n == 0) break;
      heard_.append(as_text(Bytes(piece).first(*n)));
    }
    stream.close();
    ::shutdown(caller, SHUT_WR);  // else the server waits for us as we do for it
    server.stop();
    co_return co_await scope.join();
  }

  rt::Loop loop_;
  Router router_;
  std::string heard_;
};

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++n;
  return n;
}

TEST_F(ServerTest, AnswersARequest) {
  const std::string heard = once("Host: h\r\n");
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 200 OK\r\n")) << heard;
  EXPECT_TRUE(has(heard, "\r\nContent-Length: 10\r\n")) << heard;
  EXPECT_TRUE(has(heard, "\r\nDate: ")) << heard;
  EXPECT_TRUE(has(heard, "\r\nConnection: close\r\n")) << heard;
  EXPECT_TRUE(heard.ends_with("\r\n\r\nGET /echo ")) << heard;
}

TEST_F(ServerTest, RefusesAmbiguousHeads) {
  const std::pair<std::string, std::string_view> cases[] = {
      {"GET /echo HTTP/1.1\r\n\r\n", "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"},
      {"GET http://b/echo HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"GET echo HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "405"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
       "1\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"s, "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", "400"},
      {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx", "400"},
      {"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
      {"GET /echo HTTP/1.1\nHost: a\n\n", "400"},
      {"GET /echo HTTP/3.7\r\nHost: a\r\n\r\n", "400"},
      {"GET  /echo HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS"s, "400"},
      {"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n", "431"},
      {"GET /" + std::string(40'000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
  };
  for (const auto& [bytes, status] : cases) {
    const std::string heard = exchange(bytes);
    EXPECT_TRUE(heard.starts_with("HTTP/1.1 " + std::string(status)))
        << bytes.substr(0, 100) << "\n-> " << heard;
    EXPECT_EQ(count(heard, "HTTP/1.1 "), 1u) << bytes.substr(0, 100);
  }
}

TEST_F(ServerTest, TakesTheAbsoluteForm) {
  EXPECT_TRUE(
      has(exchange("GET http://a:81/echo HTTP/1.1\r\nHost: a:81\r\nConnection: close\r\n\r\n"),
          "GET /echo"));
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  const std::string heard = exchange(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\ntw\r\n1;ext=1\r\no\r\n0\r\nX-Trailer: 1\r\n\r\n"
      "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(count(heard, "HTTP/1.1 200"), 3u);
  EXPECT_LT(heard.find("POST /echo one"), heard.find("POST /echo two")) << heard;
  EXPECT_LT(heard.find("POST /echo two"), heard.find("GET /echo")) << heard;
}

TEST_F(ServerTest, HeadHasALengthAndNoBody) {
  const std::string heard = exchange("HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(has(heard, "Content-Length: 11\r\n"));
  EXPECT_TRUE(heard.ends_with("\r\n\r\n")) << heard;
}

TEST_F(ServerTest, SpeaksHttp10) {
  router_.add("GET", "/stream", [](rt::Op&, Request, Params) -> rt::Task<Result<Response>> {
    Response response;
    response.body = Body(std::make_unique<TextReader>("streamed", 3), std::nullopt);
    co_return response;
  });
  EXPECT_TRUE(exchange("GET /stream HTTP/1.0\r\nHost: a\r\n\r\n").ends_with("\r\n\r\nstreamed"));
  const std::string kept = exchange(
      "GET /echo HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /echo HTTP/1.0\r\nHost: "
      "a\r\n\r\n");
  EXPECT_EQ(count(kept, "HTTP/1.0 200"), 2u) << kept;
}

TEST_F(ServerTest, ContinuesWhenTheBodyIsWanted) {
  const std::string heard = exchange(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: "
      "close\r\n\r\n",
      Then::kCloseHalf);
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 100 Continue\r\n\r\n")) << heard;
  const std::string refused = exchange(
      "POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
      Then::kCloseHalf);
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 404")) << refused;
  EXPECT_TRUE(has(refused, "Connection: close"));
}

TEST_F(ServerTest, FailuresHaveAStatus) {
  for (const auto& [code, status] :
       {std::pair("timeout", "504"), {"unavailable", "502"}, {"io", "500"}}) {
    const std::string heard =
        exchange("GET /fail/"s + code + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(heard.starts_with("HTTP/1.1 "s + status)) << heard;
    EXPECT_TRUE(has(heard, "it broke"));
  }
}

rt::Task<Result<Response>> splits() {
  Response response = reply(200, "text/plain", "x");
  response.headers.set("X", "a\r\nSet-Cookie: evil");
  co_return response;
}
TEST_F(ServerTest, WithholdsAnswersThatWouldSplit) {
  router_.add("GET", "/split", [](rt::Op&, Request, Params) { return splits(); });
  const std::string heard = exchange("GET /split HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 500"));
  EXPECT_FALSE(has(heard, "evil"));
}

TEST_F(ServerTest, SlowHeadsAndIdleCallersAreCut) {
  const ServerLimits limits{.head = 20ms, .idle = 20ms};
  EXPECT_TRUE(exchange("GET /echo HTT", Then::kStay, limits).starts_with("HTTP/1.1 408"));
  EXPECT_EQ(exchange("", Then::kStay, limits), "");
  EXPECT_EQ(
      count(exchange("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", Then::kStay, limits), "HTTP/1.1"),
      1u);
}

TEST_F(ServerTest, AStalledBodyIsAFailureOfItsReader) {
  const std::string heard =
      exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", Then::kStay,
               {.body_stall = 20ms});
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 504")) << heard;
}

TEST_F(ServerTest, LeavesTheBodyUnreadAndKeepsTheConnection) {
  const std::string heard = exchange(
      "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcdeGET /echo HTTP/1.1\r\nHost: "
      "a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(heard.ends_with("GET /echo ")) << heard;
}

// ---- a caller that leaves

struct Leaving {
  rt::Event event;
  bool begun = false;
  bool ended = false;
  bool cancelled = false;
  explicit Leaving(rt::Loop& loop) : event(loop) {}
  void begin() {
    begun = true;
    event.notify_all();
  }
  void end(bool was_cancelled) {
    ended = true;
    cancelled = was_cancelled;
    event.notify_all();
  }
};
rt::Task<Result<Response>> endless(Leaving& leaving) {
  leaving.begin();
  Response response;
  response.headers.set("Content-Type", "text/event-stream");
  response.body = Body(std::make_unique<EndlessReader>(
                           "data: 1\n\n", [&leaving](bool cancelled) { leaving.end(cancelled); }),
                       std::nullopt);
  co_return response;
}
rt::Task<Result<Response>> never(rt::Op& op, Leaving& leaving) {
  leaving.begin();
  const Status status = co_await rt::sleep_until(op, rt::SteadyTime::max());
  leaving.end(op.cancelled());
  co_return std::unexpected(status.error());
}

rt::Task<Status> leave_after(rt::Loop& loop, Router& router, Leaving& leaving,
                             std::string_view path, std::string_view wait_for) {
  rt::Op op;
  Server server(loop, router);
  rt::Scope scope(loop);
  scope.spawn(server.serve(op));
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    co_return fail_errno(errno, "socketpair");
  server.adopt(UniqueFd(ends[1]));
  {
    Stream caller(loop, UniqueFd(ends[0]));
    const std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path);
    CO_TRY_OK(co_await caller.write(op, as_bytes(request), kNoLimit));
    std::string heard;
    std::vector<std::byte> piece(1024);
    while (!has(heard, wait_for)) {
      CO_TRY(const std::size_t n, co_await caller.read(op, piece, kNever));
      if (n == 0) co_return fail(Code::kUnavailable, "closed: {}", heard);
      heard.append(as_text(Bytes(piece).first(n)));
    }
    while (!leaving.begun) CO_TRY_OK(co_await leaving.event.wait(op));
  }
  while (!leaving.ended) CO_TRY_OK(co_await leaving.event.wait(op));
  server.stop();
  co_return co_await scope.join();
}

TEST_F(ServerTest, ACallerThatLeavesEndsTheStream) {
  Leaving leaving(loop_);
  router_.add("GET", "/endless", [&](rt::Op&, Request, Params) { return endless(leaving); });
  EXPECT_TRUE(loop_.run(leave_after(loop_, router_, leaving, "/endless", "9\r\ndata: 1\n\n\r\n")));
  EXPECT_TRUE(leaving.cancelled);
}

TEST_F(ServerTest, ACallerThatLeavesCancelsTheWork) {
  Leaving leaving(loop_);
  router_.add("GET", "/never", [&](rt::Op& op, Request, Params) { return never(op, leaving); });
  EXPECT_TRUE(loop_.run(leave_after(loop_, router_, leaving, "/never", "")));
  EXPECT_TRUE(leaving.cancelled);
}

// ---- drain

rt::Task<Status> stop_during(rt::Loop& loop, Router& router, Leaving& leaving,
                             ServerLimits limits) {
  rt::Op op;
  Server server(loop, router, limits);
  rt::Scope scope(loop);
  scope.spawn(server.serve(op));
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    co_return fail_errno(errno, "socketpair");
  server.adopt(UniqueFd(ends[1]));
  const UniqueFd caller(ends[0]);
  constexpr std::string_view kRequest = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
  (void)::send(caller.get(), kRequest.data(), kRequest.size(), 0);
  while (!leaving.begun) CO_TRY_OK(co_await leaving.event.wait(op));
  server.stop();
  leaving.event.notify_all();
  co_return co_await scope.join();
}
rt::Task<Result<Response>> slow(rt::Op& op, Leaving& leaving) {
  leaving.begin();
  const Status waited = co_await leaving.event.wait(op);
  leaving.end(op.cancelled());
  if (!waited) co_return std::unexpected(waited.error());
  co_return reply(200, "text/plain", "done");
}

TEST_F(ServerTest, DrainLetsRequestsFinish) {
  Leaving leaving(loop_);
  router_.add("GET", "/slow", [&](rt::Op& op, Request, Params) { return slow(op, leaving); });
  EXPECT_TRUE(loop_.run(stop_during(loop_, router_, leaving, {})));
  EXPECT_TRUE(leaving.ended);
  EXPECT_FALSE(leaving.cancelled);
}

TEST_F(ServerTest, DrainHasAnEnd) {
  Leaving leaving(loop_);
  router_.add("GET", "/slow", [&](rt::Op& op, Request, Params) { return never(op, leaving); });
  EXPECT_TRUE(loop_.run(stop_during(loop_, router_, leaving, {.drain = 10ms})));
  EXPECT_TRUE(leaving.cancelled);
}

// ---- listeners

TEST_F(ServerTest, UnixSocketIsPrivateAndStaleOnesAreReplaced) {
  const Folder folder;
  const std::string path = folder / "b.sock";
  struct stat status{};
  {
    Server server(loop_, router_);
    ASSERT_TRUE(server.listen_unix(path));
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    Server second(loop_, router_);
    EXPECT_EQ(second.listen_unix(path).error().code(), Code::kConflict);
  }
  EXPECT_NE(::stat(path.c_str(), &status), 0) << "the socket file outlived its server";
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  {
    const UniqueFd stale(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  Server server(loop_, router_);
  EXPECT_TRUE(server.listen_unix(path));
}

TEST_F(ServerTest, UnixSocketRefusals) {
  const Folder folder;
  Server server(loop_, router_);
  const Status too_long = server.listen_unix(folder / std::string(120, 'x'));
  EXPECT_EQ(too_long.error().code(), Code::kInvalid);
  EXPECT_TRUE(has(too_long.error().message(), "107"));
  UniqueFd file(::open((folder / "file").c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_EQ(server.listen_unix(folder / "file").error().code(), Code::kConflict);
  EXPECT_EQ(server.listen_unix(folder / "none/x.sock").error().code(), Code::kNotFound);
}

TEST_F(ServerTest, TcpRefusals) {
  Server server(loop_, router_);
  const auto bound = server.listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(bound);
  EXPECT_NE(bound->port, 0);
  EXPECT_EQ(server.listen_tcp("127.0.0.1", bound->port).error().code(), Code::kConflict);
  EXPECT_EQ(server.listen_tcp("example.com", 0).error().code(), Code::kInvalid);
  EXPECT_EQ(server.listen_tls("127.0.0.1", 0, {"/none.pem", "/none.key"}).error().code(),
            Code::kNotFound);
}

// ---- bounds and TLS

rt::Task<Status> asks(Service& service, Url url) {
  rt::Op op;
  CO_TRY_OK(co_await fetch(op, service, request_to(std::move(url))));
  co_return Status();
}
rt::Task<Status> more_callers_than_allowed(rt::Loop& loop, Router& router) {
  rt::Op op;
  Server server(loop, router, {.idle = 10ms, .connections = 2});
  CO_TRY(const TcpEndpoint bound, server.listen_tcp("127.0.0.1", 0));
  rt::Scope serving(loop);
  serving.spawn(server.serve(op));
  DirectClient client(loop, bound);
  rt::Scope callers(loop);
  for (int i = 0; i < 8; ++i) callers.spawn(asks(client, *parse_url("/echo")));
  CO_TRY_OK(co_await callers.join());
  if (server.accepted() < 8)
    co_return fail(Code::kInternal, "the callers shared {} connections", server.accepted());
  server.stop();
  co_return co_await serving.join();
}
TEST_F(ServerTest, CallersOverTheBoundWait) {
  const Status status = loop_.run(more_callers_than_allowed(loop_, router_));
  EXPECT_TRUE(status) << status.error().message();
}

rt::Task<Status> over_tls(rt::Loop& loop, Router& router, Leaving& leaving) {
  rt::Op op;
  Server server(loop, router);
  ThrowawayCertificate first;
  ThrowawayCertificate second;
  const Folder folder;
  const TlsFiles files{.certificate = folder / "c.pem", .key = folder / "k.pem"};
  const auto install = [&](const ThrowawayCertificate& certificate) {
    std::filesystem::copy_file(certificate.certificate_file(), files.certificate,
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file(certificate.key_file(), files.key,
                               std::filesystem::copy_options::overwrite_existing);
  };
  install(first);
  CO_TRY(const TcpEndpoint bound, server.listen_tls("127.0.0.1", 0, files));
  rt::Scope serving(loop);
  serving.spawn(server.serve(op));
  const auto trusting = [&](const ThrowawayCertificate& certificate) {
    return ClientOptions{.addresses = AddressPolicy::anywhere(),
                         .proxy = {},
                         .ca_file = certificate.certificate_file()};
  };
  const auto url = [&](std::string_view path) {
    return *parse_url(fmt::format("https://localhost:{}{}", bound.port, path));
  };
  {
    Client client(loop, trusting(first));
    CO_TRY(const Fetched got, co_await fetch(op, client, request_to(url("/secure"))));
    if (got.body != "secure") co_return fail(Code::kInternal, "{}", got.body);
    // The caller leaves in the middle of a stream: its close_notify must be seen.
    CO_TRY(Response response, co_await client.handle(op, request_to(url("/endless"))));
    std::vector<std::byte> piece(100);
    CO_TRY_OK(co_await std::get<std::unique_ptr<Reader>>(response.body.content)->read(op, piece));
  }
  while (!leaving.ended) CO_TRY_OK(co_await leaving.event.wait(op));
  std::filesystem::remove(files.key);
  if (server.reload_tls()) co_return fail(Code::kInternal, "a missing key was taken");
  install(second);
  CO_TRY_OK(server.reload_tls());
  Client other(loop, trusting(second));
  CO_TRY_OK(co_await fetch(op, other, request_to(url("/secure"))));
  server.stop();
  co_return co_await serving.join();
}
rt::Task<Result<Response>> tells_secure(Request request) {
  co_return reply(200, "text/plain",
                  request.secure && request.url.scheme == "https" ? "secure" : "plain");
}
TEST_F(ServerTest, SpeaksTlsAndReloadsItsFiles) {
  Leaving leaving(loop_);
  router_.add("GET", "/secure",
              [](rt::Op&, Request request, Params) { return tells_secure(std::move(request)); });
  router_.add("GET", "/endless", [&](rt::Op&, Request, Params) { return endless(leaving); });
  const Status status = loop_.run(over_tls(loop_, router_, leaving));
  EXPECT_TRUE(status) << status.error().message();
  EXPECT_TRUE(leaving.cancelled);
}

rt::Task<Status> over_unix(rt::Loop& loop, Router& router, std::string path, int& uid) {
  rt::Op op;
  Server server(loop, router);
  CO_TRY_OK(server.listen_unix(path));
  rt::Scope scope(loop);
  scope.spawn(server.serve(op));
  DirectClient client(loop, UnixEndpoint{path});
  CO_TRY(const Fetched fetched, co_await fetch(op, client, request_to(*parse_url("/uid"))));
  uid = static_cast<int>(*parse_i64(fetched.body));
  server.stop();
  co_return co_await scope.join();
}
rt::Task<Result<Response>> tells_uid(Request request) {
  co_return reply(200, "text/plain",
                  std::to_string(request.peer == "unix" ? request.peer_uid : -2));
}
TEST_F(ServerTest, KnowsTheCallerOnAUnixSocket) {
  const Folder folder;
  router_.add("GET", "/uid",
              [](rt::Op&, Request request, Params) { return tells_uid(std::move(request)); });
  int uid = -3;
  const Status status = loop_.run(over_unix(loop_, router_, folder / "u.sock", uid));
  EXPECT_TRUE(status) << status.error().message();
  EXPECT_EQ(uid, static_cast<int>(::getuid()));
}

}  // namespace
}  // namespace berth::http
