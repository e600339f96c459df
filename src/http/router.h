// A Service that is a table of routes: method, pattern, handler.
//
// A pattern is segments: literal, `{name}` for exactly one, `{name...}` for one or more (at most
// one of these in a pattern; what follows it anchors it: "/models/{name...}/tag"). A path is split
// at "/" first (empty segments are dropped, so "//" is "/"), then each segment is percent-decoded;
// a decoded segment that is "." or ".." or holds "/" or NUL matches nothing by `{name}`. The most
// specific pattern wins: a literal before `{name}` before `{name...}`, segment by segment; then the
// longer one. HEAD falls to GET. 404 and 405 (with Allow) are plain text, unless not_found() gives
// another answer.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace berth::http {

// What the placeholders of a pattern matched, percent-decoded.
class Params {
 public:
  // Empty when the pattern has no such placeholder.
  const std::string& get(std::string_view name) const;
  void add(std::string name, std::string value) {
    values_.emplace_back(std::move(name), std::move(value));
  }

 private:
  std::vector<std::pair<std::string, std::string>> values_;
};

class Router : public Service {
 public:
  using Handler = std::function<rt::Task<Result<Response>>(rt::Op&, Request, Params)>;

  // `method` "*" takes every method that has no route of its own there. A malformed pattern is a
  // bug (assert).
  void add(std::string_view method, std::string_view pattern, Handler handler);
  // Everything that no pattern matches goes here instead of 404.
  void not_found(Handler handler) { fallback_ = std::move(handler); }

  rt::Task<Result<Response>> handle(rt::Op& op, Request request) override;

 private:
  enum class Kind { kLiteral, kOne, kMany };
  struct Segment {
    Kind kind;
    std::string text;  // the literal, or the placeholder's name
  };
  struct Route {
    std::string method;
    std::vector<Segment> pattern;
    Handler handler;
  };
  struct Match {
    const Route* route = nullptr;
    Params params;
    std::string allow;  // methods of the pattern that matched when none fits
  };

  static std::vector<Segment> parse(std::string_view pattern);
  static bool more_specific(const Route& a, const Route& b);
  static bool matches(const Route& route, const std::vector<std::string>& path, Params& params);
  Match find(std::string_view method, const std::vector<std::string>& path) const;

  std::vector<Route> routes_;  // most specific first
  Handler fallback_;
};

// The decoded segments of a path, empty ones dropped.
std::vector<std::string> path_segments(std::string_view path);

}  // namespace berth::http
