// One row of the API's table, and what the groups of routes share. Private to api.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/api.h"
#include "api/engines.h"
#include "control/control.h"
#include "guard/guard.h"
#include "http/router.h"
#include "metrics/metrics.h"
#include "rt/loop.h"

namespace berth::api {

// How a route tells of its failures: Docker Model Runner's plain text, OpenAI's JSON or
// Anthropic's.
enum class ErrorForm { kText, kOpenAi, kAnthropic };

using http::Params;
using http::Request;
using http::Response;
using Handler = std::function<rt::Task<Result<Response>>(rt::Op&, Request, Params)>;

struct Route {
  std::string method;
  std::string pattern;
  std::optional<guard::Scope> scope;  // nullopt: open to whoever reaches the server
  ErrorForm errors = ErrorForm::kText;
  Handler handler;
};
using Routes = std::vector<Route>;

// What every group works with; lives as long as the Api.
struct Context {
  rt::Loop& loop;
  control::Services services;
  Engines& engines;
  metrics::Registry& metrics;
  Options options;
};

// A member coroutine as a Handler.
template <class Group>
Handler bind(Group* group, rt::Task<Result<Response>> (Group::*method)(rt::Op&, Request, Params)) {
  return [group, method](rt::Op& op, Request request, Params params) {
    return (group->*method)(op, std::move(request), std::move(params));
  };
}

inline Response json_reply(int status, const json::Value& value) {
  return http::reply(status, "application/json", json::serialize(value));
}

// The body of a small management request as JSON; an empty body is {}.
rt::Task<Result<json::Value>> read_json(rt::Op& op, http::Body body, std::uint64_t limit = 1 << 20);

// ?name=true|1
bool query_flag(const Request& request, std::string_view name);

}  // namespace berth::api
