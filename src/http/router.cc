#include "http/router.h"

#include <algorithm>

#include "base/assert.h"

namespace berth::http {
namespace {

// What a placeholder may stand for: a name, never a way out of its folder.
bool is_plain(const std::string& segment) {
  return segment != "." && segment != ".." && segment.find('/') == std::string::npos &&
         segment.find('\0') == std::string::npos;
}

bool is_placeholder(std::string_view text) { return text.starts_with('{') && text.ends_with('}'); }

std::string joined(const std::vector<std::string>& path, std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i)
    text.append(i == first ? "" : "/").append(path[i]);
  return text;
}

Response plain(int status, std::string text) {
  return reply(status, "text/plain; charset=utf-8", std::move(text));
}

}  // namespace

const std::string& Params::get(std::string_view name) const {
  static const std::string kNone;
  const auto found = std::ranges::find(values_, name, &std::pair<std::string, std::string>::first);
  return found == values_.end() ? kNone : found->second;
}

std::vector<std::string> path_segments(std::string_view path) {
  std::vector<std::string> segments;
  for (const std::string& raw : split(path, '/')) {
    if (!raw.empty()) segments.push_back(percent_decode(raw));
  }
  return segments;
}

std::vector<Router::Segment> Router::parse(std::string_view pattern) {
  BERTH_ASSERT(pattern.starts_with('/'));
  std::vector<Segment> segments;
  for (const std::string& text : split(pattern, '/')) {
    if (text.empty()) continue;
    if (!is_placeholder(text)) {
      segments.push_back({Kind::kLiteral, text});
    } else if (text.ends_with("...}")) {
      segments.push_back({Kind::kMany, text.substr(1, text.size() - 5)});
    } else {
      segments.push_back({Kind::kOne, text.substr(1, text.size() - 2)});
    }
  }
  BERTH_ASSERT(std::ranges::count(segments, Kind::kMany, &Segment::kind) <= 1);
  return segments;
}

bool Router::more_specific(const Route& a, const Route& b) {
  const std::size_t common = std::min(a.pattern.size(), b.pattern.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (a.pattern[i].kind != b.pattern[i].kind) return a.pattern[i].kind < b.pattern[i].kind;
  }
  if (a.pattern.size() != b.pattern.size()) return a.pattern.size() > b.pattern.size();
  return a.method != "*" && b.method == "*";
}

void Router::add(std::string_view method, std::string_view pattern, Handler handler) {
  Route route{
      .method = std::string(method), .pattern = parse(pattern), .handler = std::move(handler)};
  const auto at = std::ranges::find_if(
      routes_, [&](const Route& other) { return more_specific(route, other); });
  routes_.insert(at, std::move(route));
}

bool Router::matches(const Route& route, const std::vector<std::string>& path, Params& params) {
  const std::size_t size = route.pattern.size();
  const bool open_ended =
      std::ranges::find(route.pattern, Kind::kMany, &Segment::kind) != route.pattern.end();
  if (open_ended ? path.size() < size : path.size() != size) return false;
  std::size_t at = 0;
  for (const Segment& segment : route.pattern) {
    const std::size_t count = segment.kind == Kind::kMany ? path.size() - size + 1 : 1;
    if (segment.kind == Kind::kLiteral) {
      if (path[at] != segment.text) return false;
    } else {
      for (std::size_t i = at; i < at + count; ++i) {
        if (!is_plain(path[i])) return false;
      }
      params.add(segment.text, joined(path, at, count));
    }
    at += count;
  }
  return true;
}

// The first route whose pattern and method fit. When only patterns fit, the most specific one of
// them says what is allowed.
Router::Match Router::find(std::string_view method, const std::vector<std::string>& path) const {
  Match match;
  const Route* refused = nullptr;
  std::vector<std::string> allowed;
  const auto same_pattern = [](const Route& a, const Route& b) {
    return std::ranges::equal(a.pattern, b.pattern, [](const Segment& x, const Segment& y) {
      return x.kind == y.kind && (x.kind != Kind::kLiteral || x.text == y.text);
    });
  };
  for (const Route& route : routes_) {
    Params params;
    if (!matches(route, path, params)) continue;
    if (route.method == method || route.method == "*" ||
        (method == "HEAD" && route.method == "GET")) {
      // HEAD's own route comes before GET's, wherever the two stand in the table.
      if (match.route &&
          (method != "HEAD" || route.method != "HEAD" || !same_pattern(*match.route, route)))
        continue;
      match.route = &route;
      match.params = std::move(params);
      continue;
    }
    if (!refused) refused = &route;
    if (same_pattern(*refused, route)) allowed.push_back(route.method);
  }
  if (match.route) return match;
  if (std::ranges::count(allowed, "GET") > 0 && std::ranges::count(allowed, "HEAD") == 0)
    allowed.emplace_back("HEAD");
  std::ranges::sort(allowed);
  for (const std::string& name : allowed) match.allow += (match.allow.empty() ? "" : ", ") + name;
  return match;
}

rt::Task<Result<Response>> Router::handle(rt::Op& op, Request request) {
  const std::vector<std::string> path = path_segments(request.url.path);
  Match match = find(request.method, path);
  if (match.route) {
    co_return co_await match.route->handler(op, std::move(request), std::move(match.params));
  }
  if (!match.allow.empty()) {
    Response refused =
        plain(405, "this address does not take " + printable(request.method, 40) + "\n");
    refused.headers.set("Allow", match.allow);
    co_return refused;
  }
  if (fallback_) co_return co_await fallback_(op, std::move(request), Params());
  co_return plain(404, "404 page not found\n");
}

}  // namespace berth::http
