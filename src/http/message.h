// HTTP requests and responses as values, and the one shape that clients and servers share: Service.
//
// Loop thread. A body is bytes in memory, a Reader that is pulled, or a range of a file. Header
// names compare case-insensitively (RFC 9110 section 5.1).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "rt/op.h"
#include "rt/reader.h"
#include "rt/task.h"

namespace berth::http {

class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}

  // The first field of that name; nullopt when there is none.
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> get_all(std::string_view name) const;
  void set(std::string_view name, std::string_view value);  // replaces all of that name
  void add(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

using rt::Reader;

// Bytes [offset, offset + length) of an open file; servers send it with sendfile where they can.
struct FileRange {
  UniqueFd file;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::function<void(std::uint64_t)> sent = {};  // a client tells it how many bytes went so far
};

struct Body {
  std::variant<std::string, std::unique_ptr<Reader>, FileRange> content;
  std::optional<std::uint64_t>
      length;  // of a Reader, when known: sent as Content-Length, else chunked

  Body() = default;
  Body(std::string text) : content(std::move(text)) {}    // NOLINT(google-explicit-constructor)
  Body(const char* text) : content(std::string(text)) {}  // NOLINT(google-explicit-constructor)
  Body(std::unique_ptr<Reader> reader, std::optional<std::uint64_t> size)  // a stream
      : content(std::move(reader)), length(size) {}
  explicit Body(FileRange range) : content(std::move(range)) {}
};

// Reads a body to its end; kTooLarge when it is longer than `limit` bytes, checked before
// allocating.
rt::Task<Result<std::string>> read_all(rt::Op& op, Body body, std::uint64_t limit);

// An absolute or origin-form URL, split. `host` is lower case, IPv6 without brackets; `path` starts
// with "/" and is as sent (percent-encoded); `query` is without "?".
struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;
  std::uint16_t port = 0;  // always set: the scheme's default when none was given
  std::string path = "/";
  std::string query;

  std::string to_string() const;  // without a default port
  std::string authority() const;  // host[:port], brackets for IPv6, no default port
  // Same scheme, host and port (RFC 6454): the only place that credentials may go.
  bool same_origin(const Url& other) const;
};
Result<Url> parse_url(std::string_view text);
// Resolves a Location against the URL that gave it (RFC 3986 section 5.2).
Result<Url> resolve_url(const Url& base, std::string_view reference);
std::string percent_encode(std::string_view text);  // everything but unreserved
std::string percent_decode(std::string_view text);  // malformed escapes stay as they are
// First value of `name` in a query, decoded ("+" is a space).
std::optional<std::string> query_get(std::string_view query, std::string_view name);
std::vector<std::string> query_get_all(std::string_view query, std::string_view name);

struct Request {
  std::string method = "GET";
  Url url;
  Headers headers;
  Body body;
  std::optional<std::chrono::milliseconds> first_byte =
      {};               // client side: another patience for the answer
  std::string peer;     // server side: address of the caller, "unix" on a unix socket
  int peer_uid = -1;    // server side on a unix socket: SO_PEERCRED
  bool secure = false;  // server side: came over TLS
};

struct Response {
  int status = 200;
  Headers headers;
  Body body;
};

// What answers a request: a server's router, a client's connection pool, a fake in a test. A
// failure means that no response came at all (kUnavailable, kTimeout, kCancelled); an HTTP error
// status is a Response.
struct Service {
  virtual ~Service() = default;
  virtual rt::Task<Result<Response>> handle(rt::Op& op, Request request) = 0;
};

// A plain answer with a text or JSON body.
Response reply(int status, std::string_view content_type, std::string body);

}  // namespace berth::http
