// What every client of http must do, run against Client and DirectClient with the real Server
// behind an Imposter.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "http/client.h"
#include "http/connection.h"
#include "http/imposter.h"
#include "http/testing.h"

namespace berth::http {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBig = 64 * 1024 * 1024;

enum class Which { kClient, kDirect };

class ExchangeTest : public testing::TestWithParam<Which> {
 protected:
  ExchangeTest() {
    if (GetParam() == Which::kClient) {
      service_ = std::make_unique<Client>(
          loop_, ClientOptions{.addresses = AddressPolicy::anywhere(), .proxy = {}});
    } else {
      service_ = std::make_unique<DirectClient>(loop_, TcpEndpoint{"127.0.0.1", imposter_.port()});
    }
  }
  Request request(std::string_view path, std::string method = "GET", Body body = {}) {
    return request_to(imposter_.parsed_url(path), std::move(method), std::move(body));
  }
  Result<Fetched> get(std::string_view path) { return fetch_now(loop_, *service_, request(path)); }

  rt::Loop loop_;
  Imposter imposter_{loop_};
  std::unique_ptr<Service> service_;
};

std::string name_of(const testing::TestParamInfo<Which>& info) {
  return info.param == Which::kClient ? "Client" : "DirectClient";
}
INSTANTIATE_TEST_SUITE_P(Both, ExchangeTest, testing::Values(Which::kClient, Which::kDirect),
                         name_of);

FileRange memory_file(std::string_view text) {
  UniqueFd fd(::memfd_create("body", 0));
  std::size_t at = 0;
  while (at < text.size())
    at += static_cast<std::size_t>(::write(fd.get(), text.data() + at, text.size() - at));
  return {.file = std::move(fd), .offset = 0, .length = text.size()};
}

rt::Task<Result<Response>> streams(std::string text, std::size_t piece,
                                   std::optional<std::uint64_t> length) {
  Response response;
  response.body = Body(std::make_unique<TextReader>(std::move(text), piece), length);
  co_return response;
}

TEST_P(ExchangeTest, SendsAndReceives) {
  imposter_.when("POST", "/a/{rest...}").call([](const Recorded& r) {
    return reply(201, "text/x",
                 r.method + " " + r.target() + " " + r.body + " " +
                     std::string(r.headers.get("X-Y").value_or("-")));
  });
  Request asked = request("/a/b%20c?q=1", "POST", "hello");
  asked.headers.set("X-Y", "z");
  const auto got = fetch_now(loop_, *service_, std::move(asked));
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->status, 201);
  EXPECT_EQ(got->headers.get("content-type"), "text/x");
  EXPECT_EQ(got->body, "POST /a/b%20c?q=1 hello z");
  EXPECT_EQ(imposter_.requests().at(0).headers.get("Content-Length"), "5");
  EXPECT_EQ(imposter_.requests().at(0).headers.get("Host"), imposter_.authority());
}

TEST_P(ExchangeTest, ReusesItsConnection) {
  imposter_.when("GET", "/x").reply(200, "x");
  imposter_.when("HEAD", "/x").reply(200, "x");
  imposter_.when("GET", "/none").reply(204);
  imposter_.when("GET", "/chunks").work([](rt::Op&, Request, Params) {
    return streams("some text", 2, std::nullopt);
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(get("/x")->body, "x");
    EXPECT_EQ(fetch_now(loop_, *service_, request("/x", "HEAD"))->body, "");
    EXPECT_EQ(get("/none")->status, 204);
    EXPECT_EQ(get("/chunks")->body, "some text");
    EXPECT_EQ(fetch_now(loop_, *service_, request("/none", "PUT"))->status, 405);
  }
  EXPECT_EQ(imposter_.connections_made(), 1u);
}

TEST_P(ExchangeTest, ReceivesBigBodiesInEveryShape) {
  const std::string text = pattern_text(kBig);
  imposter_.when("GET", "/length").work([&](rt::Op&, Request, Params) {
    return streams(text, 1 << 20, text.size());
  });
  imposter_.when("GET", "/chunked").work([&](rt::Op&, Request, Params) {
    return streams(text, 100'003, std::nullopt);
  });
  imposter_.when("GET", "/file").call([&](const Recorded&) {
    return Response{.status = 200, .headers = {}, .body = Body(memory_file(text))};
  });
  for (const std::string_view path : {"/length", "/chunked", "/file"}) {
    const auto got = get(path);
    ASSERT_TRUE(got) << path << got.error().message();
    EXPECT_TRUE(got->body == text) << path << " " << got->body.size();
  }
}

TEST_P(ExchangeTest, SendsBigBodiesInEveryShape) {
  const std::string text = pattern_text(kBig);
  imposter_.when("PUT", "/blob").reply(201);
  std::vector<Body> bodies;
  bodies.emplace_back(text);
  bodies.emplace_back(memory_file(text));
  bodies.emplace_back(std::make_unique<TextReader>(text, 1 << 20), text.size());
  bodies.emplace_back(std::make_unique<TextReader>(text, 100'003), std::nullopt);
  for (Body& body : bodies) {
    imposter_.forget_requests();
    const auto got = fetch_now(loop_, *service_, request("/blob", "PUT", std::move(body)));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(got->status, 201);
    ASSERT_EQ(imposter_.requests().size(), 1u);
    EXPECT_TRUE(imposter_.requests()[0].body == text) << imposter_.requests()[0].body.size();
  }
}

TEST_P(ExchangeTest, EmptyBodiesHaveALength) {
  imposter_.when("*", "/x").reply(200, "x");
  for (const std::string method : {"POST", "PUT", "PATCH"}) {
    EXPECT_TRUE(fetch_now(loop_, *service_, request("/x", method)));
    EXPECT_EQ(imposter_.requests().back().headers.get("Content-Length"), "0") << method;
  }
  EXPECT_TRUE(fetch_now(loop_, *service_, request("/x", "DELETE")));
  EXPECT_FALSE(imposter_.requests().back().headers.get("Transfer-Encoding"));
}

TEST_P(ExchangeTest, DeliversAnEarlyAnswer) {
  const std::string text = pattern_text(kBig);
  imposter_.when("PUT", "/blob").reply(401, "who are you?").unread();
  std::vector<Body> bodies;
  bodies.emplace_back(text);
  bodies.emplace_back(memory_file(text));
  bodies.emplace_back(std::make_unique<TextReader>(text, 1 << 20), text.size());
  bodies.emplace_back(std::make_unique<EndlessReader>("some", [](bool) {}), std::nullopt);
  for (Body& body : bodies) {
    const auto got = fetch_now(loop_, *service_, request("/blob", "PUT", std::move(body)));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(got->status, 401);
    EXPECT_EQ(got->body, "who are you?");
  }
}

struct FailingReader : Reader {
  rt::Task<Result<std::size_t>> read(rt::Op&, MutableBytes) override {
    co_return fail(Code::kCorrupt, "bad disk");
  }
};
TEST_P(ExchangeTest, AFailingUploadIsItsOwnError) {
  imposter_.when("PUT", "/blob").reply(201);
  const auto got = fetch_now(
      loop_, *service_, request("/blob", "PUT", Body(std::make_unique<FailingReader>(), 1000)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kCorrupt) << got.error().message();
}

TEST_P(ExchangeTest, ACutBodyIsAFailure) {
  imposter_.when("GET", "/length").raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
  imposter_.when("GET", "/chunk")
      .raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort");
  imposter_.when("GET", "/end")
      .raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n");
  imposter_.when("GET", "/head").raw("HTTP/1.1 200 OK\r\nContent-Le");
  imposter_.when("GET", "/nothing").raw("");
  for (const std::string_view path : {"/length", "/chunk", "/end", "/head", "/nothing"}) {
    const auto got = get(path);
    ASSERT_FALSE(got) << path << " " << got->body;
    EXPECT_EQ(got.error().code(), Code::kUnavailable) << path << " " << got.error().message();
  }
}

TEST_P(ExchangeTest, RefusesWhatIsNotHttp) {
  imposter_.when("GET", "/ssh").raw("SSH-2.0-OpenSSH_9.2\r\n");
  imposter_.when("GET", "/chunks")
      .raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n");
  imposter_.when("GET", "/both").raw("HTTP/1.1 abc OK\r\n\r\n");
  for (const std::string_view path : {"/ssh", "/chunks", "/both"}) EXPECT_FALSE(get(path)) << path;
}

TEST_P(ExchangeTest, ABodyUntilCloseIsTaken) {
  imposter_.when("GET", "/old").raw("HTTP/1.0 200 OK\r\n\r\nuntil the end");
  EXPECT_EQ(get("/old")->body, "until the end");
}

TEST_P(ExchangeTest, PassesOverInterimAnswersAndTrailers) {
  imposter_.when("GET", "/x")
      .raw(
          "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
          "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: "
          "2\r\nTrailer: yes\r\n\r\n");
  const auto got = get("/x");
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->body, "ok");
  EXPECT_EQ(got->headers.get_all("X").size(), 1u);
  EXPECT_FALSE(got->headers.get("Link"));
}

TEST_P(ExchangeTest, BoundsTheHeader) {
  imposter_.when("GET", "/one")
      .raw("HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n");
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5000; ++i) many += "X: 0123456789\r\n";
  imposter_.when("GET", "/many").raw(many + "\r\n");
  imposter_.when("GET", "/endless").raw("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x'));
  for (const std::string_view path : {"/one", "/many", "/endless"}) {
    const auto got = get(path);
    ASSERT_FALSE(got) << path;
    EXPECT_EQ(got.error().code(), Code::kTooLarge) << path << got.error().message();
  }
}

TEST_P(ExchangeTest, RefusesHeadersThatWouldSplit) {
  for (const auto& [name, value] :
       {std::pair("X", "a\r\nEvil: 1"), {"X", "a\nb"}, {"X\r\nEvil", "1"}, {"", "1"}}) {
    Request asked = request("/x");
    asked.headers.add(name, value);
    EXPECT_EQ(fetch_now(loop_, *service_, std::move(asked)).error().code(), Code::kInvalid);
  }
  EXPECT_EQ(fetch_now(loop_, *service_, request("/x", "GET /evil HTTP/1.1\r\n")).error().code(),
            Code::kInvalid);
  EXPECT_EQ(imposter_.connections_made(), 0u);
}

TEST_P(ExchangeTest, NobodyListens) {
  const UniqueFd taken(::socket(AF_INET, SOCK_STREAM, 0));
  Request asked = request("/x");
  {
    Imposter gone(loop_);
    asked.url = gone.parsed_url("/x");
    if (GetParam() == Which::kDirect) {
      service_ = std::make_unique<DirectClient>(loop_, TcpEndpoint{"127.0.0.1", gone.port()});
    }
  }
  const std::string port = std::to_string(asked.url.port);
  const auto got = fetch_now(loop_, *service_, std::move(asked));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kUnavailable);
  EXPECT_NE(got.error().message().find(port), std::string::npos) << got.error().message();
}

// ---- cancellation

rt::Task<Status> cancels(rt::Op& op, rt::Event& event, const bool& ready) {
  rt::Op forever;
  while (!ready) CO_TRY_OK(co_await event.wait(forever));
  op.cancel();
  co_return Status();
}
rt::Task<Status> cancelled_exchange(rt::Loop& loop, Service& service, Request request,
                                    rt::Event& event, const bool& ready) {
  rt::Op op;
  rt::Scope scope(loop);
  scope.spawn(cancels(op, event, ready));
  auto got = co_await fetch(op, service, std::move(request));
  (void)co_await scope.join();
  if (!got) co_return std::unexpected(got.error());
  co_return Status();
}
rt::Task<Result<Response>> hangs(rt::Op& op, rt::Event& event, bool& ready, bool& cancelled) {
  ready = true;
  event.notify_all();
  const Status status = co_await rt::sleep_until(op, rt::SteadyTime::max());
  cancelled = true;
  event.notify_all();
  co_return std::unexpected(status.error());
}
rt::Task<Status> until(rt::Event& event, const bool& flag) {
  rt::Op op;
  while (!flag) CO_TRY_OK(co_await event.wait(op));
  co_return Status();
}

TEST_P(ExchangeTest, CancellingEndsTheWaitAndTheOtherSide) {
  rt::Event event(loop_);
  bool ready = false;
  bool cancelled = false;
  imposter_.when("GET", "/hang").work([&](rt::Op& op, Request, Params) {
    return hangs(op, event, ready, cancelled);
  });
  const Status status =
      loop_.run(cancelled_exchange(loop_, *service_, request("/hang"), event, ready));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kCancelled);
  EXPECT_TRUE(loop_.run(until(event, cancelled)));
}

rt::Task<Result<Response>> endless(rt::Event& event, bool& ended) {
  Response response;
  response.body = Body(std::make_unique<EndlessReader>("first",
                                                       [&](bool) {
                                                         ended = true;
                                                         event.notify_all();
                                                       }),
                       std::nullopt);
  co_return response;
}
rt::Task<Result<std::string>> read_a_little(rt::Op& op, Service& service, Request request) {
  CO_TRY(Response response, co_await service.handle(op, std::move(request)));
  std::vector<std::byte> piece(100);
  CO_TRY(const std::size_t n,
         co_await std::get<std::unique_ptr<Reader>>(response.body.content)->read(op, piece));
  co_return std::string(as_text(Bytes(piece).first(n)));
}

TEST_P(ExchangeTest, DroppingTheReaderEndsTheOtherSide) {
  rt::Event event(loop_);
  bool ended = false;
  imposter_.when("GET", "/endless").work([&](rt::Op&, Request, Params) {
    return endless(event, ended);
  });
  rt::Op op;
  EXPECT_EQ(*loop_.run(read_a_little(op, *service_, request("/endless"))), "first");
  EXPECT_TRUE(loop_.run(until(event, ended)));
}

struct CountingReader : Reader {
  explicit CountingReader(std::uint64_t& sent) : count(sent) {}
  std::uint64_t& count;
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    count += into.size();
    co_return count > 256 * 1024 * 1024 ? 0 : into.size();
  }
};
rt::Task<Result<Response>> counts(std::uint64_t& sent) {
  Response response;
  response.body = Body(std::make_unique<CountingReader>(sent), std::nullopt);
  co_return response;
}
rt::Task<Status> reads_slowly(rt::Op& op, Service& service, Request request) {
  CO_TRY(Response response, co_await service.handle(op, std::move(request)));
  std::vector<std::byte> piece(1000);
  // Many turns of the loop, in which an unbounded window would take everything.
  for (int i = 0; i < 1000; ++i) {
    CO_TRY(const std::size_t n,
           co_await std::get<std::unique_ptr<Reader>>(response.body.content)->read(op, piece));
    if (n == 0) co_return fail(Code::kInternal, "the body ended");
    co_await boost::asio::post(boost::asio::use_awaitable);
  }
  co_return Status();
}

TEST_P(ExchangeTest, ASlowReaderHoldsTheOtherSideBack) {
  std::uint64_t sent = 0;
  imposter_.when("GET", "/much").work([&](rt::Op&, Request, Params) { return counts(sent); });
  rt::Op op;
  const Status status = loop_.run(reads_slowly(op, *service_, request("/much")));
  EXPECT_TRUE(status) << status.error().message();
  EXPECT_LT(sent, 64u * 1024 * 1024);
}

// Gives its second part only when the first was seen at the other end.
struct TwoParts : Reader {
  TwoParts(rt::Event& its_event, const bool& seen_flag) : event(its_event), seen(seen_flag) {}
  rt::Event& event;
  const bool& seen;
  int part = 0;
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (part == 1) {
      while (!seen) CO_TRY_OK(co_await event.wait(op));
    }
    if (++part > 2) co_return 0;
    std::memcpy(into.data(), "data", 4);
    co_return 4;
  }
};
rt::Task<Result<Response>> two_parts(rt::Event& event, const bool& seen) {
  co_return Response{.status = 200,
                     .headers = {},
                     .body = Body(std::make_unique<TwoParts>(event, seen), std::nullopt)};
}
rt::Task<Result<std::string>> sees_parts(rt::Op& op, Service& service, Request request,
                                         rt::Event& event, bool& seen) {
  CO_TRY(Response response, co_await service.handle(op, std::move(request)));
  std::vector<std::byte> piece(100);
  CO_TRY(const std::size_t n,
         co_await std::get<std::unique_ptr<Reader>>(response.body.content)->read(op, piece));
  seen = true;
  event.notify_all();
  CO_TRY(const std::string rest, co_await read_all(op, std::move(response.body), 1000));
  co_return std::string(as_text(Bytes(piece).first(n))) + "|" + rest;
}
TEST_P(ExchangeTest, BytesArriveAsTheyAreSent) {
  rt::Event event(loop_);
  bool seen = false;
  imposter_.when("GET", "/parts").work([&](rt::Op&, Request, Params) {
    return two_parts(event, seen);
  });
  rt::Op op;
  EXPECT_EQ(*loop_.run(sees_parts(op, *service_, request("/parts"), event, seen)), "data|data");
}

rt::Task<Result<Response>> echo_stream(Request request) {
  co_return Response{.status = 200, .headers = {}, .body = std::move(request.body)};
}
TEST_P(ExchangeTest, AnAnswerMayBeMadeOfTheRequest) {
  imposter_.when("POST", "/echo").work([](rt::Op&, Request asked, Params) {
    return echo_stream(std::move(asked));
  });
  const std::string text = pattern_text(50'000);
  for (const auto length :
       {std::optional<std::uint64_t>(text.size()), std::optional<std::uint64_t>()}) {
    const auto got =
        fetch_now(loop_, *service_,
                  request("/echo", "POST", Body(std::make_unique<TextReader>(text, 1000), length)));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_TRUE(got->body == text);
  }
}

rt::Task<Status> many_at_once(rt::Loop& loop, Service& service, Url url, int count) {
  rt::Op op;
  rt::Scope scope(loop);
  struct One {
    static rt::Task<Status> run(rt::Op& its_op, Service& its_service, Url its_url) {
      CO_TRY(const Fetched got, co_await fetch(its_op, its_service, request_to(its_url)));
      if (got.body != "x") co_return fail(Code::kInternal, "not x");
      co_return Status();
    }
  };
  for (int i = 0; i < count; ++i) scope.spawn(One::run(op, service, url));
  co_return co_await scope.join();
}
TEST_P(ExchangeTest, ManyAtOnce) {
  imposter_.when("GET", "/x").reply(200, "x");
  EXPECT_TRUE(loop_.run(many_at_once(loop_, *service_, imposter_.parsed_url("/x"), 100)));
  EXPECT_EQ(imposter_.requests().size(), 100u);
}

}  // namespace
}  // namespace berth::http
