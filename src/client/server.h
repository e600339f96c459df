// One server: where it is, how requests reach it, what its errors mean. Private to client.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/client.h"
#include "http/message.h"
#include "json/json.h"

namespace berth::client {

// One request to be made. `path` is percent-encoded, without the server's prefix.
struct Call {
  std::string method = "GET";
  std::string path;
  std::string query;
  http::Headers headers;
  http::Body body;
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> make(rt::Loop& loop, ServerAddress address);

  // The answer when its status is below 300; else the error that it means.
  rt::Task<Result<http::Response>> send(rt::Op& op, Call call);
  rt::Task<Result<json::Value>> json(rt::Op& op, Call call);
  rt::Task<Status> done(rt::Op& op, Call call);  // the body does not matter
  // The body as a stream.
  rt::Task<Result<std::unique_ptr<rt::Reader>>> stream(rt::Op& op, Call call);

  // Whether it is Berth; asked once.
  rt::Task<Result<bool>> is_berth(rt::Op& op);
  // kUnsupported naming `what` unless it is.
  rt::Task<Status> need_berth(rt::Op& op, std::string what);

  const std::string& shown() const { return shown_; }
  const oci::ReferenceDefaults& defaults() const { return address_.defaults; }

 private:
  Server(ServerAddress address, http::Url base, std::string shown,
         std::unique_ptr<http::Service> service);

  ServerAddress address_;
  http::Url base_;
  std::string shown_;  // for sentences
  std::unique_ptr<http::Service> service_;
  void compare_versions(const http::Headers& headers);
  std::optional<bool> is_berth_;
  bool compared_ = false;
};

Call json_call(std::string method, std::string path, const json::Value& body);
// "ai/m:tag" as part of a path: slashes stay.
std::string path_of(std::string_view prefix, std::string_view name, std::string_view suffix = "");

// What an answer of that status and body means.
Error error_of(int status, const http::Headers& headers, std::string_view body);

}  // namespace berth::client
