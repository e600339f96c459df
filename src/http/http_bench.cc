// What http costs on loopback: MB/s of Client and Server, microseconds of a round trip of
// DirectClient. Built by hand (docs/dev), prints JSON lines:  http_bench [MiB] [round trips]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http/client.h"
#include "http/connection.h"
#include "http/router.h"
#include "http/server.h"
#include "rt/async.h"

namespace berth::http {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

// CPU seconds of this process, all threads: what a transfer costs however busy the machine is.
double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Rate {
  Clock::time_point begun = Clock::now();
  double cpu = cpu_seconds();
  void print(const char* name, std::uint64_t bytes) const {
    const double megabytes = static_cast<double>(bytes) / 1e6;
    std::printf("{\"%s\": {\"MB_per_s\": %.0f, \"MB_per_cpu_s\": %.0f}}\n", name,
                megabytes / seconds_since(begun), megabytes / (cpu_seconds() - cpu));
  }
};

struct Zeros : Reader {
  explicit Zeros(std::uint64_t size) : left(size) {}
  std::uint64_t left;
  rt::Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t n = std::min<std::uint64_t>(into.size(), left);
    left -= n;
    co_return n;
  }
};

FileRange memory_file(std::uint64_t size) {
  UniqueFd fd(::memfd_create("bench", 0));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) std::abort();
  std::vector<char> piece(1 << 20, 'x');
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    if (::pwrite(fd.get(), piece.data(), piece.size(), static_cast<off_t>(at)) < 0) std::abort();
  }
  return {.file = std::move(fd), .offset = 0, .length = size};
}

rt::Task<Result<Response>> gives_file(const FileRange& file) {
  co_return Response{.status = 200,
                     .headers = {},
                     .body = Body(FileRange{UniqueFd(::dup(file.file.get())), 0, file.length})};
}
rt::Task<Result<Response>> gives_stream(std::uint64_t size) {
  co_return Response{
      .status = 200, .headers = {}, .body = Body(std::make_unique<Zeros>(size), std::nullopt)};
}
rt::Task<Result<Response>> takes(rt::Op& op, Request request) {
  std::vector<std::byte> piece(1 << 20);
  if (auto* reader = std::get_if<std::unique_ptr<Reader>>(&request.body.content);
      reader && *reader) {
    while (true) {
      CO_TRY(const std::size_t n, co_await (*reader)->read(op, piece));
      if (n == 0) break;
    }
  }
  co_return reply(200, "application/json", "{\"ok\":true}");
}

rt::Task<Status> download(Service& service, Url url, std::size_t buffer, const char* name) {
  rt::Op op;
  const Rate rate;
  CO_TRY(Response response, co_await service.handle(op, Request{.url = std::move(url)}));
  std::vector<std::byte> piece(buffer);
  std::uint64_t total = 0;
  auto& reader = *std::get<std::unique_ptr<Reader>>(response.body.content);
  while (true) {
    CO_TRY(const std::size_t n, co_await reader.read(op, piece));
    if (n == 0) break;
    total += n;
  }
  rate.print(name, total);
  co_return Status();
}

rt::Task<Status> upload(Service& service, Url url, Body body, std::uint64_t size,
                        const char* name) {
  rt::Op op;
  const Rate rate;
  CO_TRY_OK(co_await service.handle(
      op, Request{.method = "PUT", .url = std::move(url), .headers = {}, .body = std::move(body)}));
  rate.print(name, size);
  co_return Status();
}

rt::Task<Status> round_trips(Service& service, Url url, int count, const char* name) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    rt::Op op;
    const auto begun = Clock::now();
    CO_TRY(
        Response response,
        co_await service.handle(
            op, Request{.method = "POST", .url = url, .headers = {}, .body = Body("{\"x\":1}")}));
    CO_TRY(const std::string body, co_await read_all(op, std::move(response.body), 1000));
    times.push_back(seconds_since(begun) * 1e6);
  }
  std::ranges::sort(times);
  std::printf("{\"%s_us\": {\"p50\": %.1f, \"p99\": %.1f}}\n", name, times[times.size() / 2],
              times[times.size() * 99 / 100]);
  co_return Status();
}

// Another process serves, so that client and server do not share the loop.
[[noreturn]] void serve(int port_pipe, const std::string& socket, std::uint64_t size) {
  rt::Loop loop;
  Router router;
  const FileRange file = memory_file(size);
  router.add("GET", "/file", [&](rt::Op&, Request, Params) { return gives_file(file); });
  router.add("GET", "/stream", [&](rt::Op&, Request, Params) { return gives_stream(size); });
  router.add("*", "/take",
             [](rt::Op& op, Request request, Params) { return takes(op, std::move(request)); });
  Server server(loop, router);
  const auto bound = server.listen_tcp("127.0.0.1", 0);
  if (!bound || !server.listen_unix(socket)) std::abort();
  if (::write(port_pipe, &bound->port, sizeof bound->port) < 0) std::abort();
  rt::Op op;
  (void)loop.run(server.serve(op));
  std::exit(0);
}

rt::Task<Status> measure(rt::Loop& loop, std::uint16_t port, std::string socket, std::uint64_t size,
                         int count) {
  Client client(loop, {.addresses = AddressPolicy::anywhere(), .proxy = {}});
  DirectClient direct(loop, UnixEndpoint{socket});
  DirectClient direct_tcp(loop, TcpEndpoint{"127.0.0.1", port});
  const auto url = [port](std::string_view path) {
    return *parse_url(fmt::format("http://127.0.0.1:{}{}", port, path));
  };
  CO_TRY_OK(co_await download(client, url("/file"), 1 << 20, "client_download_file_1MiB_reads"));
  CO_TRY_OK(co_await download(client, url("/file"), 8 << 20, "client_download_file_8MiB_reads"));
  CO_TRY_OK(co_await download(client, url("/stream"), 1 << 20, "client_download_chunked"));
  CO_TRY_OK(co_await download(direct, url("/file"), 1 << 20, "direct_unix_download_file"));
  CO_TRY_OK(co_await download(direct_tcp, url("/file"), 1 << 20, "direct_tcp_download_file"));
  CO_TRY_OK(
      co_await upload(client, url("/take"), Body(memory_file(size)), size, "client_upload_file"));
  CO_TRY_OK(co_await upload(client, url("/take"), Body(std::make_unique<Zeros>(size), size), size,
                            "client_upload_stream"));
  CO_TRY_OK(co_await round_trips(client, url("/take"), count, "client_tcp_round_trip"));
  CO_TRY_OK(co_await round_trips(direct_tcp, url("/take"), count, "direct_tcp_round_trip"));
  CO_TRY_OK(co_await round_trips(direct, url("/take"), count, "direct_unix_round_trip"));
  co_return Status();
}

}  // namespace
}  // namespace berth::http

int main(int argc, char** argv) {
  const std::uint64_t size = static_cast<std::uint64_t>(argc > 1 ? std::atoi(argv[1]) : 2048) << 20;
  const int count = argc > 2 ? std::atoi(argv[2]) : 20'000;
  const std::string socket = "/tmp/berth-bench-" + std::to_string(::getpid()) + ".sock";
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  const pid_t child = ::fork();
  if (child == 0) berth::http::serve(ends[1], socket, size);
  std::uint16_t port = 0;
  if (::read(ends[0], &port, sizeof port) != sizeof port) return 1;
  berth::rt::Loop loop;
  const berth::Status status = loop.run(berth::http::measure(loop, port, socket, size, count));
  if (!status) std::printf("failed: %s\n", status.error().message().c_str());
  ::kill(child, SIGTERM);
  ::unlink(socket.c_str());
  return status ? 0 : 1;
}
