#include "http/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "http/imposter.h"
#include "http/testing.h"

namespace berth::http {
namespace {

using namespace std::chrono_literals;

class ClientTest : public testing::Test {
 protected:
  static ClientOptions options() { return {.addresses = AddressPolicy::anywhere(), .proxy = {}}; }
  Result<Fetched> get(std::string_view path, ClientOptions with = options()) {
    Client client(loop_, std::move(with));
    return fetch_now(loop_, client, request_to(imposter_.parsed_url(path)));
  }

  rt::Loop loop_;
  Imposter imposter_{loop_};
};

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_F(ClientTest, LeavesRedirectsAndCodingsToTheCaller) {
  imposter_.when("GET", "/moved").call([](const Recorded&) {
    Response response = reply(307, "", "");
    response.headers.set("Location", "/elsewhere");
    return response;
  });
  imposter_.when("GET", "/coded").call([](const Recorded&) {
    Response response = reply(200, "text/plain", "\x1f\x8b not really gzip");
    response.headers.set("Content-Encoding", "gzip");
    return response;
  });
  const auto moved = get("/moved");
  EXPECT_EQ(moved->status, 307);
  EXPECT_EQ(moved->headers.get("Location"), "/elsewhere");
  EXPECT_EQ(imposter_.count("GET", "/elsewhere"), 0u);
  EXPECT_EQ(get("/coded")->body, "\x1f\x8b not really gzip");
  EXPECT_FALSE(imposter_.requests().back().headers.get("Accept-Encoding"));
  EXPECT_EQ(imposter_.requests().back().headers.get("User-Agent"), "berth/" BERTH_VERSION);
}

TEST_F(ClientTest, SendsThePathAsItIs) {
  imposter_.when("GET", "/{all...}").reply(200);
  Url url = imposter_.parsed_url("/a/./b/%2e%2e/c?x=%41");
  Client client(loop_, options());
  (void)fetch_now(loop_, client, request_to(url));
  EXPECT_EQ(imposter_.requests().size(), 0u) << "the router refuses dots, so it saw them";
  (void)get("/a%2Fb/c%41?x=%41");
  (void)get("/ab/c%41?x=%41");
  EXPECT_EQ(imposter_.requests().at(0).target(), "/ab/c%41?x=%41");
}

TEST_F(ClientTest, TimesOut) {
  imposter_.when("GET", "/hang").hang();
  imposter_.when("GET", "/stall").work([](rt::Op&, Request, Params) -> rt::Task<Result<Response>> {
    Response response;
    response.body = Body(std::make_unique<EndlessReader>("some", [](bool) {}), std::nullopt);
    co_return response;
  });
  ClientOptions quick = options();
  quick.limits.first_byte = 30ms;
  quick.limits.connect =
      -1'980ms + 10ms;  // less than the grace: the first byte's limit is what counts
  quick.limits.connect = 30ms;
  quick.limits.stall = 30ms;
  for (const std::string_view path : {"/hang", "/stall"}) {
    const auto got = get(path, quick);
    ASSERT_FALSE(got) << path;
    EXPECT_EQ(got.error().code(), Code::kTimeout) << got.error().message();
    EXPECT_TRUE(has(got.error().message(), imposter_.authority())) << got.error().message();
  }
}

rt::Task<Result<int>> status_with_patience(Client& client, Request request,
                                           std::chrono::milliseconds first_byte) {
  rt::Op op;
  CO_TRY(
      const Response response,
      co_await client.handle_with(op, std::move(request), AddressPolicy::anywhere(), first_byte));
  co_return response.status;
}
TEST_F(ClientTest, OneRequestMayHaveItsOwnPatience) {
  imposter_.when("GET", "/hang").hang();
  ClientOptions quick = options();
  quick.limits.connect = 20ms;
  Client client(loop_, quick);
  const auto got =
      loop_.run(status_with_patience(client, request_to(imposter_.parsed_url("/hang")), 20ms));
  EXPECT_EQ(got.error().code(), Code::kTimeout);
}

// The kernel accepts connections for it; nobody ever reads them.
struct Deaf {
  Deaf() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd.get(), 4), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
  }
  UniqueFd fd;
  int port = 0;
};
TEST_F(ClientTest, TlsHasATimeOfItsOwn) {
  const Deaf deaf;
  ClientOptions quick = options();
  quick.limits.tls = 50ms;
  Client client(loop_, quick);
  const auto url = parse_url(fmt::format("https://127.0.0.1:{}/", deaf.port)).value();
  const auto got = fetch_now(loop_, client, request_to(url));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kTimeout) << got.error().message();
  EXPECT_TRUE(has(got.error().message(), "no TLS connection")) << got.error().message();
}

TEST_F(ClientTest, AnUploadThatNobodyTakesTimesOut) {
  imposter_.when("PUT", "/hang").hang();
  ClientOptions quick = options();
  quick.limits.upload_stall = 50ms;
  Client client(loop_, quick);
  const auto got = fetch_now(
      loop_, client, request_to(imposter_.parsed_url("/hang"), "PUT", pattern_text(64 << 20)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kTimeout) << got.error().message();
}

rt::Task<Result<Fetched>> with_deadline(Client& client, Request request) {
  rt::Op parent("the test");
  rt::Op op(parent, std::chrono::steady_clock::now() + 20ms);
  co_return co_await fetch(op, client, std::move(request));
}
TEST_F(ClientTest, KeepsTheDeadlineOfItsOp) {
  imposter_.when("GET", "/hang").hang();
  Client client(loop_, options());
  const auto got = loop_.run(with_deadline(client, request_to(imposter_.parsed_url("/hang"))));
  EXPECT_EQ(got.error().code(), Code::kTimeout);
}

TEST_F(ClientTest, KeepsAwayFromAddressesThatAreNotAllowed) {
  imposter_.when("GET", "/x").reply(200, "x");
  ClientOptions closed = options();
  closed.addresses = AddressPolicy::public_only();
  closed.pinned = {{fmt::format("evil.example:{}", imposter_.port()), "127.0.0.1"}};
  Client client(loop_, closed);
  for (const std::string_view host :
       {"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "evil.example", "0.0.0.0",
        "10.0.0.1", "169.254.169.254", "[64:ff9b::7f00:1]"}) {
    const Url url = *parse_url(fmt::format("http://{}:{}/x", host, imposter_.port()));
    const auto got = fetch_now(loop_, client, request_to(url));
    ASSERT_FALSE(got) << host;
    EXPECT_EQ(got.error().code(), Code::kDenied) << host << got.error().message();
  }
  EXPECT_EQ(imposter_.connections_made(), 0u);
}

rt::Task<Result<int>> status_with(Client& client, Request request, AddressPolicy policy) {
  rt::Op op;
  CO_TRY(const Response response, co_await client.handle_with(op, std::move(request), policy));
  co_return response.status;
}
TEST_F(ClientTest, OneRequestMayHaveItsOwnPolicy) {
  imposter_.when("GET", "/x").reply(200, "x");
  ClientOptions closed = options();
  closed.addresses = AddressPolicy::public_only();
  closed.pinned = {{fmt::format("registry.example:{}", imposter_.port()), "127.0.0.1"}};
  Client client(loop_, closed);
  const Url url = *parse_url(fmt::format("http://registry.example:{}/x", imposter_.port()));
  EXPECT_EQ(*loop_.run(status_with(client, request_to(url), AddressPolicy::anywhere())), 200);
  EXPECT_EQ(loop_.run(status_with(client, request_to(url), {})).error().code(), Code::kDenied);
  EXPECT_EQ(imposter_.requests().at(0).headers.get("Host"), url.authority());
}

TEST_F(ClientTest, NamesWithoutAddressAreSaidSo) {
  Client client(loop_, options());
  const auto got = fetch_now(loop_, client, request_to(*parse_url("http://no-such-host.invalid/")));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kUnavailable);
  EXPECT_TRUE(has(got.error().message(), "no-such-host.invalid")) << got.error().message();
}

TEST_F(ClientTest, GoesThroughAProxy) {
  imposter_.when("GET", "/x").reply(200, "by proxy");
  ClientOptions proxied = options();
  proxied.proxy.http = imposter_.url("");
  Client client(loop_, proxied);
  EXPECT_EQ(fetch_now(loop_, client, request_to(*parse_url("http://registry.invalid/x")))->body,
            "by proxy");
  EXPECT_EQ(imposter_.requests().at(0).url.host, "registry.invalid");
  Client closed(loop_, {.proxy = proxied.proxy});
  EXPECT_EQ(fetch_now(loop_, closed, request_to(*parse_url("http://10.0.0.1/x"))).error().code(),
            Code::kDenied);
}

TEST(ProxySettings, ChooseByUrl) {
  const ProxySettings settings{
      .http = "http://p:1",
      .https = "socks5://s:2",
      .exclude = "example.com, .inner.net,*.star.org,10.0.0.0/8,host:8080,[2001:db8::1],fd00::/8"};
  const auto proxy = [&](std::string_view url) {
    return settings.proxy_for(*parse_url(url)).value_or("direct");
  };
  EXPECT_EQ(proxy("http://a.test/"), "http://p:1");
  EXPECT_EQ(proxy("https://a.test/"), "socks5h://s:2");
  for (const std::string_view url :
       {"http://example.com/", "http://a.example.com/", "http://x.inner.net/", "http://a.star.org/",
        "http://10.1.2.3/", "http://host:8080/", "http://[2001:db8::1]/", "http://[fd00::5]/",
        "http://localhost/", "http://127.0.0.1:5000/", "http://[::1]/", "http://a.localhost/"}) {
    EXPECT_EQ(proxy(url), "direct") << url;
  }
  for (const std::string_view url :
       {"http://notexample.com/", "http://11.1.2.3/", "http://host:8081/", "http://[fe00::5]/"}) {
    EXPECT_EQ(proxy(url), "http://p:1") << url;
  }
  EXPECT_FALSE((ProxySettings{.http = "http://p:1", .https = "", .exclude = "*"}.proxy_for(
      *parse_url("http://a.test/"))));
}

// ---- TLS

class ClientTlsTest : public testing::Test {
 protected:
  ClientTlsTest() { imposter_->when("GET", "/x").reply(200, "secret"); }
  Result<Fetched> get(std::string_view host, TlsCheck check, std::string ca_file) {
    Client client(loop_, {.addresses = AddressPolicy::anywhere(),
                          .proxy = {},
                          .tls_check = check,
                          .ca_file = std::move(ca_file)});
    return fetch_now(
        loop_, client,
        request_to(*parse_url(fmt::format("https://{}:{}/x", host, imposter_->port()))));
  }

  rt::Loop loop_;
  std::unique_ptr<Imposter> imposter_ = Imposter::with_tls(loop_);
};

TEST_F(ClientTlsTest, TrustsWhatItIsToldToTrust) {
  for (const std::string_view host : {"localhost", "127.0.0.1"}) {
    const auto got = get(host, TlsCheck::kOn, imposter_->ca_file());
    ASSERT_TRUE(got) << host << got.error().message();
    EXPECT_EQ(got->body, "secret");
  }
}

TEST_F(ClientTlsTest, RefusesWhatItDoesNotKnow) {
  const auto got = get("localhost", TlsCheck::kOn, "");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kUnavailable);
  EXPECT_TRUE(has(got.error().message(), "name the PEM file")) << got.error().message();
  EXPECT_EQ(get("localhost", TlsCheck::kOff, "")->body, "secret");
  EXPECT_EQ(imposter_->requests().size(), 1u);
}

TEST_F(ClientTlsTest, RefusesAnotherName) {
  Client client(loop_,
                {.addresses = AddressPolicy::anywhere(),
                 .proxy = {},
                 .ca_file = imposter_->ca_file(),
                 .pinned = {{fmt::format("other.example:{}", imposter_->port()), "127.0.0.1"}}});
  const Url url = *parse_url(fmt::format("https://other.example:{}/x", imposter_->port()));
  EXPECT_FALSE(fetch_now(loop_, client, request_to(url)));
}

TEST_F(ClientTlsTest, CarriesBigBodies) {
  const std::string text = pattern_text(16 * 1024 * 1024);
  imposter_->when("POST", "/echo").call([](const Recorded& r) { return reply(200, "x", r.body); });
  Client client(
      loop_,
      {.addresses = AddressPolicy::anywhere(), .proxy = {}, .ca_file = imposter_->ca_file()});
  const auto got =
      fetch_now(loop_, client, request_to(imposter_->parsed_url("/echo"), "POST", text));
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_TRUE(got->body == text);
}

TEST_F(ClientTlsTest, PlainServersAreToldApart) {
  Imposter plain(loop_);
  Client client(loop_, {.addresses = AddressPolicy::anywhere(), .proxy = {}});
  const auto got = fetch_now(
      loop_, client, request_to(*parse_url(fmt::format("https://127.0.0.1:{}/", plain.port()))));
  ASSERT_FALSE(got);
  EXPECT_TRUE(has(got.error().message(), "check that it speaks TLS")) << got.error().message();
}

}  // namespace
}  // namespace berth::http
