#include "registryd/call.h"

#include <algorithm>

#include "base/text.h"
#include "registryd/refusal.h"

namespace berth::registryd {

bool is_ollama(const Request& request) {
  return request.headers.get("User-Agent").value_or("").starts_with("ollama/");
}

std::string etag_of(const oci::Digest& digest) { return "\"" + digest.string() + "\""; }

bool has_it(const Request& request, const oci::Digest& digest) {
  const auto known = request.headers.get("If-None-Match");
  return known && (*known == "*" || known->find(etag_of(digest)) != std::string_view::npos);
}

Response created(std::string location, const oci::Digest& digest) {
  Response response{.status = 201};
  response.headers.set("Location", location);
  response.headers.set(kDigestHeader, digest.string());
  return response;
}

std::expected<oci::Digest, Response> digest_of(std::string_view text) {
  auto digest = oci::Digest::parse(text);
  if (digest) return std::move(*digest);
  return std::unexpected(
      refuse(400, "DIGEST_INVALID",
             fmt::format("\"{}\" is no digest: sha256 or sha512, a colon and lower-case hex digits",
                         printable(text, 150))));
}

depot::Origin origin_of(const Context& context, const Call& call) {
  const auto header = [&call](std::string_view name) {
    return printable(call.request.headers.get(name).value_or(""), 120);
  };
  return {.actor = call.caller.subject,
          .peer = context.gate.address_of(call.request),
          .address = printable(context.gate.origin_of(call.request), 200),
          .method = printable(call.request.method, 20),
          .user_agent = header("User-Agent"),
          .request = header("X-Request-Id")};
}

std::optional<depot::PageRequest> page_request(const Call& call, std::size_t most) {
  depot::PageRequest request{.last = call.query("last").value_or(""), .limit = most};
  const auto n = call.query("n");
  if (!n) return request;
  const auto limit = parse_u64(*n);
  if (!limit) return std::nullopt;
  request.limit = static_cast<std::size_t>(std::min<std::uint64_t>(*limit, most));
  return request;
}

void link_next(Response& response, const Call& call, std::string_view last, std::size_t limit) {
  std::string query = fmt::format("n={}&last={}", limit, http::percent_encode(last));
  for (const std::string& part : split(call.request.url.query, '&')) {
    const bool again = part.empty() || part.starts_with("n=") || part.starts_with("last=");
    // What came is what goes back, but nothing that would end the header's <...>.
    if (!again && part.find_first_of("<>\"") == std::string::npos) query += "&" + part;
  }
  response.headers.set("Link", fmt::format("<{}?{}>; rel=\"next\"", call.request.url.path, query));
}

void add_warning(Response& response, std::string_view sentence) {
  std::string text;
  for (const char c : sentence.substr(0, 300)) {
    const bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
    text.push_back(plain ? c : c == '"' ? '\'' : '?');
  }
  response.headers.add("Warning", fmt::format("299 - \"{}\"", text));
}

void warn_if_stale(Response& response, Context& context, const Call& call,
                   const std::string& question) {
  const auto stale = context.depot.lists.stale(call.place.repository, question);
  if (!stale) return;
  add_warning(response, fmt::format("{} cannot be asked since {}: this may be out of date",
                                    stale->upstream, format_rfc3339(stale->since)));
}

}  // namespace berth::registryd
