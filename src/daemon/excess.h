// What a client with too many connections hears on those. Private to daemon.
#pragma once

#include "http/message.h"

namespace berth::daemon {

// 429, in the form of the distribution API.
http::Response too_many_connections();

class Excess : public http::Service {
 public:
  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override;
};

}  // namespace berth::daemon
