#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/listen.h"
#include "daemon/notify.h"
#include "daemon/single.h"

namespace berth::daemon {
namespace {

using Kind = Listen::Kind;

TEST(Listen, Forms) {
  const struct {
    const char* text;
    Kind kind;
    const char* address;
    int port;
  } rows[] = {{"127.0.0.1:8080", Kind::kHttp, "127.0.0.1", 8080},
              {"localhost", Kind::kHttp, "127.0.0.1", 12434},
              {"http://127.0.0.1:1/", Kind::kHttp, "127.0.0.1", 1},
              {"[::1]:0", Kind::kHttp, "::1", 0},
              {"https://0.0.0.0:443", Kind::kHttps, "0.0.0.0", 443},
              {"https://[::]", Kind::kHttps, "::", 12444}};
  for (const auto& row : rows) {
    const auto listen = parse_listen(row.text);
    ASSERT_TRUE(listen) << row.text;
    EXPECT_EQ(listen->kind, row.kind) << row.text;
    EXPECT_EQ(listen->address, row.address) << row.text;
    EXPECT_EQ(listen->port, row.port) << row.text;
  }
  EXPECT_EQ(parse_listen("unix:/run/x.sock")->path, "/run/x.sock");
  EXPECT_EQ(parse_listen("unix:///run/x.sock")->path, "/run/x.sock");
}

TEST(Listen, WhatIsNoAddress) {
  for (const char* text :
       {"", ":80", "example.com:80", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:x", "[::1",
        "[::1]x", "ftp://127.0.0.1", "unix:", "unix:relative", "127.0.0.1:80/path"}) {
    EXPECT_FALSE(parse_listen(text)) << text;
  }
  EXPECT_FALSE(parse_listen("unix:/" + std::string(107, 'x')));
}

TEST(Listen, ThePlanIsTheSocketAndWhatIsAskedFor) {
  config::Settings settings;
  config::Paths paths;
  paths.socket = "/run/b.sock";
  auto plan = plan_listeners(settings, paths);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_EQ(plan->front().path, "/run/b.sock");
  settings.server.listen = {"127.0.0.1:0"};
  settings.server.port = 12434;
  EXPECT_EQ(plan_listeners(settings, paths)->size(), 3u);
  settings.server.socket = "none";
  EXPECT_EQ(plan_listeners(settings, paths)->size(), 2u);
  settings.server = {};
  settings.server.socket = "none";
  EXPECT_FALSE(plan_listeners(settings, paths));
  settings.server.tls = true;
  EXPECT_FALSE(plan_listeners(settings, paths)) << "no certificate";
  settings.server.tls_certificate = settings.server.tls_key = "x.pem";
  EXPECT_TRUE(plan_listeners(settings, paths));
}

struct Exposure : testing::Test {
  Status check(const char* address, std::size_t tokens) {
    return check_exposure({*parse_listen(address)}, settings, tokens);
  }
  config::Settings settings;
};

TEST_F(Exposure, BeyondLoopbackNeedsTlsAndAToken) {
  EXPECT_TRUE(check("127.0.0.1:1", 0));
  EXPECT_TRUE(check("[::1]:1", 0));
  EXPECT_TRUE(check("unix:/x", 0));
  EXPECT_EQ(check("0.0.0.0:1", 5).error().code(), Code::kInvalid);
  EXPECT_NE(check("0.0.0.0:1", 5).error().message().find("there is no TLS"), std::string::npos);
  EXPECT_NE(check("https://0.0.0.0:1", 0).error().message().find("there is no token"),
            std::string::npos);
  EXPECT_TRUE(check("https://0.0.0.0:1", 1));
  EXPECT_EQ(check("192.168.1.2:1", 1).error().code(), Code::kInvalid);
}

TEST_F(Exposure, UnlessAProxyOrTheUserSaysSo) {
  settings.server.behind_proxy = {"10.0.0.0/8"};
  EXPECT_TRUE(check("0.0.0.0:1", 0));
  settings.server.behind_proxy.clear();
  settings.server.insecure = true;
  EXPECT_TRUE(check("0.0.0.0:1", 0));
}

struct Folder : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/berth-daemon-XXXXXX";
    folder = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string folder;
};

// A record lock is its process's, so the other daemon must be another process.
TEST_F(Folder, TheSecondDaemonIsToldThePidOfTheFirst) {
  int ready[2];
  int done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t first = ::fork();
  if (first == 0) {
    ::close(done[1]);
    const auto held = SingleDaemon::acquire(folder);
    char byte = held ? 'y' : 'n';
    (void)!::write(ready[1], &byte, 1);
    (void)!::read(done[0], &byte, 1);
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  const auto second = SingleDaemon::acquire(folder);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kConflict);
  EXPECT_NE(second.error().message().find(fmt::format("pid {}", first)), std::string::npos)
      << second.error().message();
  ::close(done[1]);
  ::waitpid(first, nullptr, 0);
  EXPECT_TRUE(SingleDaemon::acquire(folder)) << "the lock ends with its process";
  for (const int fd : {ready[0], ready[1], done[0]}) ::close(fd);
}

TEST_F(Folder, TheServiceManagerIsTold) {
  const std::string path = folder + "/notify";
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  notify(config::Environment({{"NOTIFY_SOCKET", path}}), "READY=1");
  char text[64];
  const auto count = ::recv(socket.get(), text, sizeof text, MSG_DONTWAIT);
  ASSERT_GT(count, 0);
  EXPECT_EQ(std::string_view(text, static_cast<std::size_t>(count)), "READY=1");
  notify(config::Environment(), "READY=1");  // without a manager nothing happens
}

}  // namespace
}  // namespace berth::daemon
