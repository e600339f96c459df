// A line on stderr for each request, and an id that the caller sees as X-Request-Id. Private to
// daemon.
//
// Loop thread. The caller's address is the one before the proxies. Written when the answer begins;
// its duration is the time until then. No header but the agent's is written, and no query:
// credentials are in neither.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/message.h"
#include "http/network.h"

namespace berth::daemon {

class AccessLog : public http::Service {
 public:
  AccessLog(http::Service& inner, log::Format format, std::vector<http::Network> proxies);
  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override;

 private:
  http::Service& inner_;
  log::Format format_;
  std::vector<http::Network> proxies_;
  std::string prefix_;  // of this process's ids
  std::uint64_t count_ = 0;
};

}  // namespace berth::daemon
