// What one caller may take of a Server.
#include <array>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "http/descriptor.h"
#include "http/router.h"
#include "http/server.h"
#include "http/stream.h"
#include "rt/async.h"

namespace berth::http {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kAsk = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

rt::Task<Result<Response>> hello(rt::Op&, Request, Params) {
  co_return reply(200, "text/plain", "hello");
}
rt::Task<Result<Response>> take_all(rt::Op& op, Request request, Params) {
  CO_TRY(const std::string body, co_await read_all(op, std::move(request.body), 1 << 20));
  co_return reply(200, "text/plain", body);
}
rt::Task<Result<Response>> large(rt::Op&, Request, Params) {
  co_return reply(200, "text/plain", std::string(64 << 20, 'x'));
}

// Tells a client that has too many connections.
class Excess : public Service {
 public:
  rt::Task<Result<Response>> handle(rt::Op&, Request) override {
    co_return reply(429, "text/plain", "too many");
  }
};

class Caller {
 public:
  Caller(rt::Loop& loop, UniqueFd fd) : stream(loop, std::move(fd)) {}
  static Result<UniqueFd> socket_to(const TcpEndpoint& endpoint) {
    TRY(const SocketAddress address, socket_address(endpoint));
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), address.get(), address.size) != 0) return fail_errno(errno, "connect");
    return fd;
  }
  // What comes until `until` is in it, or the end.
  rt::Task<std::string> hear(rt::Op& op, std::string until) {
    std::string heard;
    std::vector<std::byte> piece(4096);
    while (until.empty() || heard.find(until) == std::string::npos) {
      const auto n = co_await stream.read(op, piece, kNever);
      if (!n || *n == 0) break;
      heard.append(as_text(Bytes(piece).first(*n)));
    }
    co_return heard;
  }
  rt::Task<std::string> ask(rt::Op& op) {
    (void)co_await stream.write(op, as_bytes(kAsk), kNoLimit);
    co_return co_await hear(op, "hello");
  }
  Stream stream;
};

class ServerLimitsTest : public testing::Test {
 protected:
  ServerLimitsTest() {
    router_.add("GET", "/hello", hello);
    router_.add("POST", "/take", take_all);
    router_.add("GET", "/large", large);
  }

  // Serves one caller that sends this and no more, and reads only what the socket holds by itself.
  rt::Task<Status> meet(rt::Op& op, ServerLimits limits, std::string sent, std::string& heard) {
    Server server(loop_, router_, limits);
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      co_return fail_errno(errno, "socketpair");
    server.adopt(UniqueFd(ends[1]));
    rt::Scope scope(loop_);
    scope.spawn(server.serve(op));
    Caller caller(loop_, UniqueFd(ends[0]));
    CO_TRY_OK(co_await caller.stream.write(op, as_bytes(sent), kNoLimit));
    heard = co_await caller.hear(op, "\r\n\r\n");
    // Nothing is read any more, and the server waits for what is in flight: it has to cut it.
    server.stop();
    co_return co_await scope.join();
  }

  rt::Task<Status> crowd(rt::Op& op, ServerLimits limits, bool answers,
                         std::vector<std::string>& heard) {
    Server server(loop_, router_, limits);
    Excess excess;
    if (answers) server.answer_excess(excess);
    CO_TRY(const TcpEndpoint bound, server.listen_tcp("127.0.0.1", 0));
    rt::Scope scope(loop_);
    scope.spawn(server.serve(op));
    std::vector<std::unique_ptr<Caller>> callers;
    for (int i = 0; i < 3; ++i) {
      CO_TRY(UniqueFd fd, Caller::socket_to(bound));
      callers.push_back(std::make_unique<Caller>(loop_, std::move(fd)));
      heard.push_back(co_await callers.back()->ask(op));
    }
    // One goes, so there is room again.
    callers.front()->stream.shutdown_send();
    (void)co_await callers.front()->hear(op, "");
    CO_TRY(UniqueFd fd, Caller::socket_to(bound));
    Caller late(loop_, std::move(fd));
    heard.push_back(co_await late.ask(op));
    late.stream.close();
    callers.clear();
    server.stop();
    co_return co_await scope.join();
  }

  rt::Loop loop_;
  Router router_;
  rt::Op op_;
};

TEST_F(ServerLimitsTest, ABodyThatTricklesIsCutBeforeItStalls) {
  std::string heard;
  const ServerLimits limits{.write_stall = 1h, .least_rate = 1'000'000, .slow = 20ms, .drain = 1h};
  ASSERT_TRUE(loop_.run(
      meet(op_, limits, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", heard)));
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 504")) << heard;
}

TEST_F(ServerLimitsTest, ACallerThatTakesTooLittleOfItsAnswerIsCut) {
  std::string heard;
  const ServerLimits limits{.write_stall = 1h, .least_rate = 1'000'000, .slow = 20ms, .drain = 1h};
  ASSERT_TRUE(loop_.run(meet(op_, limits, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", heard)));
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 200")) << heard;  // and then its end, or this hangs
}

TEST_F(ServerLimitsTest, AClientWithTooManyConnectionsIsTold) {
  std::vector<std::string> heard;
  ASSERT_TRUE(loop_.run(crowd(op_, {.connections_per_client = 2}, true, heard)));
  ASSERT_EQ(heard.size(), 4u);
  EXPECT_TRUE(heard[0].starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(heard[1].starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(heard[2].starts_with("HTTP/1.1 429")) << heard[2];
  EXPECT_NE(heard[2].find("\r\nConnection: close\r\n"), std::string::npos) << heard[2];
  EXPECT_TRUE(heard[3].starts_with("HTTP/1.1 200")) << heard[3];
}

TEST_F(ServerLimitsTest, WithoutAnAnswerItIsClosed) {
  std::vector<std::string> heard;
  ASSERT_TRUE(loop_.run(crowd(op_, {.connections_per_client = 2}, false, heard)));
  EXPECT_EQ(heard[2], "");
  EXPECT_TRUE(heard[3].starts_with("HTTP/1.1 200")) << heard[3];
}

TEST_F(ServerLimitsTest, ProxiesAreNotCounted) {
  std::vector<std::string> heard;
  const ServerLimits limits{.connections_per_client = 2,
                            .uncounted = {Network::parse("127.0.0.0/8").value()}};
  ASSERT_TRUE(loop_.run(crowd(op_, limits, true, heard)));
  for (const std::string& answer : heard) EXPECT_TRUE(answer.starts_with("HTTP/1.1 200"));
}

TEST(ClientNetwork, IsAnAddressOrAPrefix) {
  EXPECT_EQ(client_network("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(client_network("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(client_network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(client_network("2001:db8:1:2:ffff::1"), "2001:db8:1:2::/64");
  EXPECT_EQ(client_network("::1"), "::/64");
  EXPECT_EQ(client_network("unix"), "unix");
}

}  // namespace
}  // namespace berth::http
