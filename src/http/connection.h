// The HTTP client for a neighbour: keep-alive HTTP/1.1 to one unix socket or one loopback port,
// with as little latency as can be. The daemon talks to an engine with it, the command line to the
// daemon.
//
// Loop thread. Idle connections are kept and looked at before they are used again; a request on a
// kept connection that dies before the first byte of the answer is sent once more on a fresh one
// (llama-server closes without announcing it: facts/docker-model-runner.md section 11) unless its
// body was a stream that has been read from. There is no time limit but the Op's, apart from
// connecting. Bytes reach the Reader as they come. Destroying the Reader early closes the
// connection: this is how a generation is stopped. A Response may outlive the client.
//
// Failures: kUnavailable (nobody listens, cut short, not HTTP), kTimeout, kCancelled, kTooLarge
// (header), kInvalid.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "http/message.h"
#include "rt/loop.h"

namespace berth::http {

struct UnixEndpoint {
  std::string path;
};
struct TcpEndpoint {
  std::string address;  // a literal, "localhost" stands for 127.0.0.1
  std::uint16_t port = 0;
};
using Endpoint = std::variant<UnixEndpoint, TcpEndpoint>;
std::string to_string(const Endpoint& endpoint);

struct DirectLimits {
  std::chrono::milliseconds connect{5'000};
  std::size_t header_bytes = 64 * 1024;
  std::size_t idle_connections = 16;
};

class DirectClient : public Service {
 public:
  DirectClient(rt::Loop& loop, Endpoint endpoint, DirectLimits limits = {});
  ~DirectClient() override;

  // `url.path`, `url.query` and, when set, `url.host` (as Host) are used; the connection goes to
  // the endpoint.
  rt::Task<Result<Response>> handle(rt::Op& op, Request request) override;
  // Closes what is idle (the engine is about to stop).
  void close_idle();

 private:
  struct Pool;
  std::shared_ptr<Pool> pool_;
};

}  // namespace berth::http
