#include "daemon/excess.h"

namespace berth::daemon {

http::Response too_many_connections() {
  http::Response response = http::reply(
      429, "application/json",
      R"({"errors":[{"code":"TOOMANYREQUESTS","message":"your address has as many connections )"
      R"(open as one may have: close some and ask again"}]})");
  response.headers.set("Retry-After", "1");
  return response;
}

rt::Task<Result<http::Response>> Excess::handle(rt::Op&, http::Request) {
  co_return too_many_connections();
}

}  // namespace berth::daemon
