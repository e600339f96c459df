#include "registryd/web_page.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "fs/file.h"
#include "json/json.h"
#include "oci/reference.h"
#include "registryd/markdown.h"
#include "registryd/page_views.h"
#include "rt/async.h"

namespace berth::registryd {
namespace {

using http::Request;
using http::Response;

constexpr std::size_t kRepositories = 50;  // on a page
constexpr std::size_t kTags = 100;
constexpr std::size_t kReferrers = 200;
constexpr std::size_t kMoves = 20;
constexpr std::size_t kScanned = 1000;  // names in one reading of a search
constexpr std::size_t kMostScans = 20;  // then the reader goes on by the link to the next page
constexpr std::size_t kMostQuery = 255;
constexpr std::size_t kMostHost = 255;
constexpr std::size_t kMostPage = 1'000'000;

enum class Place { kHome, kRepository, kManifest, kNowhere };

struct Target {
  Place place = Place::kNowhere;
  std::string repository;
  std::string tag;
  std::optional<oci::Digest> digest;
};

// The total grammar of the page's paths.
Target parse_target(std::string_view path) {
  if (path == "/") return {.place = Place::kHome};
  const std::string text = http::percent_decode(path);
  if (!text.starts_with("/r/")) return {};
  const std::size_t mark = std::min(text.find_first_of(":@", 3), text.size());
  Target target{.place = Place::kRepository, .repository = text.substr(3, mark - 3)};
  if (!oci::is_repository(target.repository)) return {};
  if (mark == text.size()) return target;
  target.place = Place::kManifest;
  const std::string reference = text.substr(mark + 1);
  if (text[mark] == ':') {
    target.tag = reference;
    return oci::is_tag(reference) ? target : Target();
  }
  const auto digest = oci::Digest::parse(reference);
  if (!digest) return {};
  target.digest = *digest;
  return target;
}

Response page_reply(int status, const Html& html) {
  Response response = http::reply(status, "text/html; charset=utf-8", html.string());
  response.headers.set("Content-Security-Policy", content_security_policy());
  response.headers.set("X-Content-Type-Options", "nosniff");
  response.headers.set("Referrer-Policy", "no-referrer");
  response.headers.set("X-Frame-Options", "DENY");
  response.headers.set("Cross-Origin-Resource-Policy", "same-origin");
  // What one may see, another may not.
  response.headers.set("Cache-Control", "private, no-cache");
  response.headers.set("Vary", "Authorization");
  return response;
}

Response not_found(const Frame& frame) {
  return page_reply(404, message_page(frame, "Not found", "There is no such page here."));
}

Response log_in(const Frame& frame, std::string_view why) {
  Response response = page_reply(401, message_page(frame, "Log in", why));
  response.headers.set("WWW-Authenticate", "Basic realm=\"berth-registry\", charset=\"UTF-8\"");
  return response;
}

Response failed(const Frame& frame, const Error& error) {
  if (error.code() == Code::kIo && error.retry_after()) {
    Response response = page_reply(503, message_page(frame, "Busy", error.message()));
    response.headers.set("Retry-After", fmt::format("{}", error.retry_after()->count()));
    return response;
  }
  log::error("a page could not be shown: {}", printable(error.message()));
  return page_reply(500, message_page(frame, "This failed", "The registry's log says why."));
}

Response too_often(const Frame& frame, const Error& error) {
  Response response = page_reply(429, message_page(frame, "Too often", error.message()));
  const auto wait = error.retry_after();
  if (wait) response.headers.set("Retry-After", fmt::format("{}", wait->count()));
  return response;
}

std::string query_of(const Request& request) {
  const std::string query = http::query_get(request.url.query, "q").value_or("");
  return to_lower(trim(std::string_view(query).substr(0, kMostQuery)));
}

Frame frame_of(const Request& request) {
  return {.host = printable(request.headers.get("Host").value_or("localhost"), kMostHost),
          .query = query_of(request),
          .now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
}

std::string next_path(const std::string& query, std::string_view last) {
  std::string path = "/?last=" + http::percent_encode(last);
  if (!query.empty()) path += "&q=" + http::percent_encode(query);
  return path;
}

std::size_t page_number(const Request& request) {
  const auto text = http::query_get(request.url.query, "page");
  const std::uint64_t number = text ? parse_u64(*text).value_or(1) : 1;
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(number, 1, kMostPage));
}

// "" when there is no such blob here, or one that is too long.
rt::Task<Result<std::string>> read_blob(rt::Op& op, rt::Loop& loop, depot::Blobs& blobs,
                                        const std::string& repository,
                                        const oci::Descriptor& wanted, std::uint64_t most) {
  CO_TRY(auto blob, co_await blobs.open_blob(op, repository, wanted.digest));
  if (!blob || blob->size > most) co_return std::string();
  const fs::File file(std::move(blob->file), wanted.digest.string());
  co_return co_await rt::blocking(loop, [&]() -> Result<std::string> {
    std::string bytes(static_cast<std::size_t>(blob->size), '\0');
    TRY(const std::size_t read, file.read_at(0, std::as_writable_bytes(std::span(bytes))));
    bytes.resize(read);
    return bytes;
  });
}

ReferrerLine line_of(const depot::Referrer& referrer) {
  ReferrerLine line{.type = name_of_type(referrer.artifact_type), .digest = referrer.digest};
  const auto value = json::parse(referrer.descriptor, "a referrer");
  if (value) line.size = json::View(*value, "referrer").u64_or("size", 0).value_or(0);
  return line;
}

// Where cosign puts what it makes when it does not use referrers.
constexpr auto kCosignTags = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"sig", "Signature (cosign, by tag)"},
    {"att", "Attestation (cosign, by tag)"},
    {"sbom", "SBOM (cosign, by tag)"},
});

rt::Task<Result<std::vector<ReferrerLine>>> find_referrers(rt::Op& op, depot::Depot& depot,
                                                           const std::string& repository,
                                                           const oci::Digest& digest) {
  std::vector<ReferrerLine> lines;
  CO_TRY(const auto found,
         co_await depot.lists.referrers(op, repository, digest, {.limit = kReferrers}));
  for (const depot::Referrer& referrer : found) lines.push_back(line_of(referrer));
  for (const auto& [suffix, name] : kCosignTags) {
    std::string tag = fmt::format("{}-{}.{}", digest.algorithm_name(), digest.hex(), suffix);
    CO_TRY(const auto tagged, co_await depot.manifests.resolve(op, repository, std::move(tag)));
    if (tagged) lines.push_back({.type = std::string(name), .digest = tagged->string()});
  }
  co_return lines;
}

}  // namespace

// One request, known by now.
struct WebPage::Visit {
  Request request;
  Target target;
  Caller caller;
  Frame frame;
};

bool WebPage::is_visit(const Request& request) {
  const auto says = [&](std::string_view name, std::string_view value) {
    const auto field = request.headers.get(name);
    return field && iequals(*field, value);
  };
  return (request.method == "GET" || request.method == "HEAD") &&
         says("Sec-Fetch-Mode", "navigate") && says("Sec-Fetch-Dest", "document");
}

rt::Task<Result<Response>> WebPage::handle(rt::Op& op, Request request) {
  Visit visit{.target = parse_target(request.url.path), .frame = frame_of(request)};
  if (request.method != "GET" && request.method != "HEAD") {
    Response response = page_reply(
        405, message_page(visit.frame, "This page only shows", "It takes GET and HEAD."));
    response.headers.set("Allow", "GET, HEAD");
    co_return response;
  }
  auto caller = co_await gate_.identify(op, request, Gate::Late::kRefuse);
  const Status may_ask = gate_.admit(gate_.client_of(request, caller ? &*caller : nullptr));
  if (!may_ask || (!caller && caller.error().code() == Code::kRateLimited))
    co_return too_often(visit.frame, may_ask ? caller.error() : may_ask.error());
  if (!caller && caller.error().code() == Code::kUnauthenticated)
    co_return log_in(visit.frame, caller.error().message());
  if (!caller && caller.error().code() == Code::kDenied)
    co_return page_reply(403, message_page(visit.frame, "Not allowed", caller.error().message()));
  if (!caller) co_return failed(visit.frame, caller.error());
  visit.request = std::move(request);
  visit.caller = std::move(*caller);
  if (visit.caller.subject != guard::kAnonymous)
    visit.frame.user = printable(visit.caller.subject, 100);
  visit.frame.may_log_in = !visit.caller.is_known();
  auto answered = co_await answer(op, visit);
  co_return answered ? std::move(*answered) : failed(visit.frame, answered.error());
}

// To somebody who is not known, a repository that is not theirs and one that is not there look the
// same.
Response WebPage::refuse(const Visit& visit) const {
  if (!visit.caller.is_known()) return log_in(visit.frame, "This needs a user who may see it.");
  return page_reply(403, message_page(visit.frame, "Not allowed",
                                      fmt::format("{} may not pull from {}.", visit.frame.user,
                                                  visit.target.repository)));
}

rt::Task<Result<Response>> WebPage::answer(rt::Op& op, const Visit& visit) {
  const Target& target = visit.target;
  if (target.place == Place::kNowhere) co_return not_found(visit.frame);
  if (target.place == Place::kHome) co_return co_await home(op, visit);
  if (!visit.caller.sees(target.repository)) co_return refuse(visit);
  if (target.place == Place::kRepository) co_return co_await repository(op, visit);
  co_return co_await manifest(op, visit);
}

rt::Task<Result<Response>> WebPage::home(rt::Op& op, const Visit& visit) {
  const auto asked = http::query_get(visit.request.url.query, "last");
  const bool logs_in = http::query_get(visit.request.url.query, "login").has_value();
  // Whether strangers may read something does not hang on what is here: an empty registry looks as
  // one whose repositories are not theirs.
  const bool open = visit.caller.anywhere().allows(guard::Action::kPull);
  if (!visit.caller.is_known() && (logs_in || !open)) co_return refuse(visit);
  HomeView view{.is_first = !asked};
  depot::PageRequest request{.last = asked.value_or(""), .limit = kScanned};
  for (std::size_t scan = 0; scan < kMostScans && view.next.empty(); ++scan) {
    CO_TRY(const depot::Page page, co_await depot_.lists.repositories(op, request));
    for (const std::string& name : page.names) {
      if (!visit.caller.sees(name) || !name.contains(visit.frame.query)) continue;
      if (view.repositories.size() == kRepositories) {
        view.next = next_path(visit.frame.query, view.repositories.back().name);
        break;
      }
      view.repositories.push_back({.name = name});
    }
    if (!page.more || page.names.empty()) break;
    request.last = page.names.back();
    const bool tired = scan + 1 == kMostScans && view.next.empty();
    if (tired) view.next = next_path(visit.frame.query, request.last);
  }
  for (RepositoryLine& line : view.repositories) {
    CO_TRY(auto list, co_await depot_.lists.tag_list(op, line.name, 0, 1));
    if (!list || list->tags.empty()) continue;
    line.tags = list->total;
    line.newest = std::move(list->tags.front());
  }
  co_return page_reply(200, home_page(visit.frame, view));
}

rt::Task<Result<Response>> WebPage::repository(rt::Op& op, const Visit& visit) {
  RepositoryView view{.name = visit.target.repository, .page = page_number(visit.request)};
  CO_TRY(auto list, co_await depot_.lists.tag_list(op, view.name, (view.page - 1) * kTags, kTags));
  if (!list || (list->tags.empty() && list->total > 0)) co_return not_found(visit.frame);
  view.pages = (list->total + kTags - 1) / kTags;
  view.list = std::move(*list);
  co_return page_reply(200, repository_page(visit.frame, view));
}

rt::Task<Result<Response>> WebPage::manifest(rt::Op& op, const Visit& visit) {
  const Target& target = visit.target;
  ManifestView view{.repository = target.repository, .tag = target.tag};
  std::optional<oci::Digest> digest = target.digest;
  if (!digest) {
    CO_TRY(digest, co_await depot_.manifests.resolve(op, target.repository, target.tag));
  }
  if (!digest) co_return not_found(visit.frame);
  CO_TRY(const auto stored,
         co_await depot_.manifests.find_manifest(op, target.repository, *digest));
  if (!stored) co_return not_found(visit.frame);
  view.digest = stored->digest;
  view.media_type = stored->media_type;
  view.artifact = co_await rt::blocking(loop_, [&] { return read_artifact(*stored); });
  std::string config;
  if (view.artifact.config) {
    CO_TRY(config, co_await read_blob(op, loop_, depot_.blobs, target.repository,
                                      *view.artifact.config, kMostConfig));
  }
  std::string card;
  if (view.artifact.card) {
    CO_TRY(card, co_await read_blob(op, loop_, depot_.blobs, target.repository, *view.artifact.card,
                                    kMostCard));
  }
  CO_TRY(view.referrers, co_await find_referrers(op, depot_, target.repository, *digest));
  if (!target.tag.empty()) {
    CO_TRY(view.history, co_await depot_.lists.history(op, target.repository, target.tag,
                                                       depot::kNewestMove, kMoves));
  }
  const Html html = co_await rt::blocking(loop_, [&] {
    add_facts(view.artifact, *stored, config);
    view.card = render_markdown(card);
    return manifest_page(visit.frame, view);
  });
  co_return page_reply(200, html);
}

}  // namespace berth::registryd
