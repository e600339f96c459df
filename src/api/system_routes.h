// The server itself: /, /version, /health, /logs, /metrics, and /berth/v1 for what Docker Model
// Runner's API lacks. Private to api.
#pragma once

#include "api/route.h"

namespace berth::api {

class SystemRoutes {
 public:
  explicit SystemRoutes(Context& context) : context_(context) {}
  Routes routes();

 private:
  using Answer = rt::Task<Result<Response>>;

  Answer root(rt::Op& op, Request request, Params params);
  Answer version(rt::Op& op, Request request, Params params);
  Answer health(rt::Op& op, Request request, Params params);
  Answer logs(rt::Op& op, Request request, Params params);
  Answer metrics(rt::Op& op, Request request, Params params);
  rt::Task<std::string> scrape(rt::Op& op, Scrape engine, metrics::Comments comments);

  Answer status(rt::Op& op, Request request, Params params);
  Answer inspect(rt::Op& op, Request request, Params params);
  Answer remove(rt::Op& op, Request request, Params params);
  Answer purge(rt::Op& op, Request request, Params params);
  Answer prune(rt::Op& op, Request request, Params params);
  Answer settings(rt::Op& op, Request request, Params params);

  Context& context_;
};

}  // namespace berth::api
