// For tests of any module: a network in memory, and a registry in it that keeps state and can be
// made to misbehave.
//
//   FakeNetwork network;
//   FakeRegistry registry;                      // "http://localhost:5000" below
//   network.host("http://localhost:5000", registry, http::AddressKind::kLoopback);
//   RegistryOptions options{.send = network.send()};
//
// Every request that reached a host is in network.requests. Loop thread.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/assert.h"
#include "http/address.h"
#include "http/message.h"
#include "json/json.h"
#include "oci/digest.h"
#include "oci/media_types.h"
#include "remote/registry.h"
#include "remote/scope.h"

namespace berth::remote {

class FakeNetwork {
 public:
  struct Seen {
    std::string method;
    http::Url url;
    http::Headers headers;
    std::string url_text() const { return url.to_string(); }
    std::string authorization() const {
      return std::string(headers.get("Authorization").value_or(""));
    }
  };

  // `origin`: "https://ghcr.io", "http://localhost:5000".
  void host(const std::string& origin, http::Service& service,
            http::AddressKind kind = http::AddressKind::kPublic) {
    hosts_[origin_of(http::parse_url(origin + "/").value())] = {&service, kind};
  }
  Send send() {
    return [this](rt::Op& op, http::Request request, http::AddressPolicy policy) {
      return deliver(op, std::move(request), policy);
    };
  }

  std::size_t count(std::string_view method, std::string_view path_prefix) const {
    return static_cast<std::size_t>(std::ranges::count_if(requests, [&](const Seen& seen) {
      return seen.method == method && seen.url.path.starts_with(path_prefix);
    }));
  }
  // Whether any request to another place than `origin` held `secret` anywhere in its URL or
  // headers.
  bool leaked(std::string_view secret, const std::vector<std::string>& allowed_hosts) const {
    return std::ranges::any_of(requests, [&](const Seen& seen) {
      if (std::ranges::find(allowed_hosts, seen.url.authority()) != allowed_hosts.end())
        return false;
      bool found = seen.url_text().contains(secret);
      for (const auto& [name, value] : seen.headers) found = found || value.contains(secret);
      return found;
    });
  }

  std::vector<Seen> requests;
  int refuse_connections = 0;  // so many requests fail as if nobody listened

 private:
  struct Host {
    http::Service* service;
    http::AddressKind kind;
  };
  static std::string origin_of(const http::Url& url) {
    return url.scheme + "://" + url.authority();
  }

  rt::Task<Result<http::Response>> deliver(rt::Op& op, http::Request request,
                                           http::AddressPolicy policy) {
    CO_TRY_OK(op.check());
    const auto literal = http::classify(request.url.host);
    const auto found = hosts_.find(origin_of(request.url));
    const auto kind =
        found != hosts_.end() ? found->second.kind : literal.value_or(http::AddressKind::kPublic);
    CO_TRY_OK(policy.check(kind, request.url.host));
    if (found == hosts_.end())
      co_return fail(Code::kUnavailable, "no host {} in this network", request.url.authority());
    if (refuse_connections > 0) {
      --refuse_connections;
      co_return fail(Code::kUnavailable, "connection refused");
    }
    requests.push_back({request.method, request.url, request.headers});
    co_return co_await found->second.service->handle(op, std::move(request));
  }

  std::map<std::string, Host> hosts_;
};

// A body that comes in pieces and may end before its time.
class PieceReader : public rt::Reader {
 public:
  enum class End { kClean, kBroken };
  PieceReader(std::string bytes, std::size_t cut_after, End end)
      : bytes_(std::move(bytes)), cut_(cut_after), end_(end) {}
  rt::Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t end = std::min(cut_, bytes_.size());
    if (at_ == end && end < bytes_.size() && end_ == End::kBroken)
      co_return fail(Code::kUnavailable, "the connection broke");
    const std::size_t count = std::min({into.size(), end - at_, std::size_t{700}});
    std::ranges::copy(as_bytes(std::string_view(bytes_).substr(at_, count)), into.begin());
    at_ += count;
    co_return count;
  }

 private:
  std::string bytes_;
  std::size_t cut_;
  End end_;
  std::size_t at_ = 0;
};

class FakeRegistry : public http::Service {
 public:
  enum class Auth { kOpen, kBasic, kBearer };
  struct Manifest {
    std::string type;
    std::string bytes;
  };
  struct Repo {
    std::map<std::string, std::string> blobs;  // digest -> bytes
    std::map<std::string, Manifest> manifests;
    std::map<std::string, std::string> tags;
  };
  // Answers that come instead of the real ones, in order, each `times` times.
  struct Scripted {
    std::string method;
    std::string path_prefix;
    int status;
    http::Headers headers = {};
    std::string body = {};
    int times = 1;
  };

  // --- how it behaves ---
  Auth auth = Auth::kOpen;
  std::string user = "me";
  std::string password = "CANARY-password";
  std::string identity_token = "CANARY-identity";
  std::string realm = "http://localhost:5000/token";
  std::string challenge_scope;  // named in challenges instead of the request's own
  bool anonymous_pull = false;  // the token server gives pull tokens to anybody
  int token_uses = 1'000'000;   // how many requests a token is good for
  int token_lifetime = 300;     // expires_in
  bool token_knows_post = true;
  bool ignore_ranges = false;
  std::string content_range;  // sent instead of the true one
  std::string blob_redirect;  // prefix for the Location of blob GETs
  std::optional<std::size_t> cut_blobs_after;
  PieceReader::End cut_end = PieceReader::End::kBroken;
  bool digest_header = true;
  std::string digest_lie;         // Docker-Content-Digest of everything
  std::string manifest_type_lie;  // Content-Type of manifests
  bool head_manifests = true;
  bool referrers_api = true;
  std::size_t page_size = 1000;        // of tags and referrers
  std::string upload_location;         // prefix of upload Locations; "" is relative
  std::size_t largest_put = SIZE_MAX;  // of a body: above it 413
  bool chunks_like_ecr = false;        // PATCH: 201, and what comes after the first is lost
  std::size_t keep_of_patch = SIZE_MAX;
  std::optional<std::string> min_chunk;
  std::deque<std::size_t>
      cut_uploads;           // the connection of the next bodies breaks after so many bytes
  bool keep_cut = true;      // and what came stays; else the upload is gone
  int lose_answers = 0;      // so many upload bodies are taken and never answered
  std::string status_range;  // Range of an upload's status instead of the true one
  bool allow_mount = true;
  bool allow_delete = true;
  bool forget_blobs = false;  // acknowledges what it does not keep
  std::deque<Scripted> script;

  // --- what it saw ---
  std::uint64_t received = 0;  // bytes of upload bodies

  // --- what it holds ---
  std::map<std::string, Repo> repos;
  std::map<std::string, std::pair<std::string, std::string>> uploads;  // id -> repository, bytes
  std::set<std::string> canceled;
  int tokens_given = 0;

  oci::Descriptor add_blob(const std::string& repository, std::string bytes,
                           std::string type = "application/octet-stream") {
    oci::Descriptor blob = oci::describe(bytes, type);
    repos[repository].blobs[blob.digest.string()] = std::move(bytes);
    return blob;
  }
  oci::Descriptor add_manifest(const std::string& repository, const std::string& tag,
                               std::string bytes, std::string_view type = oci::media::kManifest) {
    oci::Descriptor manifest = oci::describe(bytes, type);
    repos[repository].manifests[manifest.digest.string()] = {std::string(type), std::move(bytes)};
    if (!tag.empty()) repos[repository].tags[tag] = manifest.digest.string();
    return manifest;
  }
  void revoke_tokens() { tokens_.clear(); }

  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override {
    if (auto scripted = take_scripted(request)) co_return std::move(*scripted);
    const std::string path = request.url.path;
    if (path == "/token") co_return co_await give_token(op, std::move(request));
    if (auto refused = check_access(request)) co_return std::move(*refused);
    if (is_upload_body(request) && !cut_uploads.empty() &&
        request.body.length.value_or(0) > cut_uploads.front()) {
      co_return co_await cut_upload(op, std::move(request));
    }
    // A real server that refuses a body by its length does so without reading it.
    if (request.body.length.value_or(0) > largest_put) co_return error(413, "SIZE_INVALID");
    CO_TRY(const std::string body, co_await http::read_all(op, std::move(request.body), 1 << 30));
    if (body.size() > largest_put) co_return error(413, "SIZE_INVALID");
    if (is_upload_body(request)) received += body.size();
    http::Response response = route(request, body);
    if (is_upload_body(request) && lose_answers > 0) {
      --lose_answers;
      co_return fail(Code::kTimeout, "no answer");
    }
    co_return response;
  }

 private:
  struct Token {
    ScopeSet scopes;
    int uses;
  };

  static http::Response error(int status, std::string_view code,
                              std::string_view message = "as scripted") {
    return http::reply(
        status, "application/json",
        fmt::format(R"({{"errors":[{{"code":"{}","message":"{}"}}]}})", code, message));
  }
  static http::Response bare(int status, http::Headers headers = {}) {
    http::Response response;
    response.status = status;
    response.headers = std::move(headers);
    return response;
  }

  std::optional<http::Response> take_scripted(const http::Request& request) {
    for (auto entry = script.begin(); entry != script.end(); ++entry) {
      if (entry->method != request.method || !request.url.path.starts_with(entry->path_prefix))
        continue;
      http::Response response = bare(entry->status, entry->headers);
      response.body = entry->body;
      if (--entry->times == 0) script.erase(entry);
      return response;
    }
    return std::nullopt;
  }

  static bool is_upload_body(const http::Request& request) {
    return request.url.path.contains("/blobs/uploads/") &&
           (request.method == "PATCH" || request.method == "PUT");
  }
  rt::Task<Result<http::Response>> cut_upload(rt::Op& op, http::Request request) {
    std::string came(cut_uploads.front(), '\0');
    cut_uploads.pop_front();
    std::size_t at = 0;
    auto& reader = std::get<std::unique_ptr<rt::Reader>>(request.body.content);
    while (at < came.size()) {
      CO_TRY(const std::size_t count,
             co_await reader->read(op, std::as_writable_bytes(std::span(came).subspan(at))));
      at += count;
    }
    received += at;
    const std::string id = request.url.path.substr(request.url.path.rfind('/') + 1);
    if (keep_cut) uploads[id].second += came;
    if (!keep_cut) uploads.erase(id);
    co_return fail(Code::kUnavailable, "the connection broke");
  }

  // --- access ---

  static std::string repository_of(const std::string& path) {
    constexpr std::string_view kRoot = "/v2/";
    if (!path.starts_with(kRoot)) return "";
    for (const char* part : {"/blobs/", "/manifests/", "/tags/", "/referrers/"}) {
      const std::size_t at = path.find(part);
      if (at != std::string::npos) return path.substr(kRoot.size(), at - kRoot.size());
    }
    return "";
  }
  static ScopeSet needed(const http::Request& request) {
    const std::string repository = repository_of(request.url.path);
    if (repository.empty()) return {};
    const bool reads = request.method == "GET" || request.method == "HEAD";
    const bool upload = request.url.path.contains("/blobs/uploads/");
    if (request.method == "DELETE" && !upload) return ScopeSet::repository(repository, "delete");
    ScopeSet scopes = ScopeSet::repository(repository, reads && !upload ? "pull" : "pull,push");
    return scopes;
  }
  std::optional<http::Response> check_access(const http::Request& request) {
    const std::string sent(request.headers.get("Authorization").value_or(""));
    if (auth == Auth::kOpen) return std::nullopt;
    if (auth == Auth::kBasic) {
      if (sent == basic_value()) return std::nullopt;
      http::Response refused = error(401, "UNAUTHORIZED", "authentication required");
      refused.headers.set("WWW-Authenticate", "Basic realm=\"fake\"");
      return refused;
    }
    const ScopeSet wanted = needed(request);
    const auto token = sent.starts_with("Bearer ") ? tokens_.find(sent.substr(7)) : tokens_.end();
    if (token != tokens_.end() && token->second.uses > 0 && token->second.scopes.covers(wanted)) {
      --token->second.uses;
      return std::nullopt;
    }
    http::Response refused = error(401, "UNAUTHORIZED", "authentication required");
    const std::string scope = challenge_scope.empty() ? wanted.string() : challenge_scope;
    refused.headers.set("WWW-Authenticate",
                        fmt::format(R"(Bearer realm="{}",service="fake"{})", realm,
                                    scope.empty() ? "" : ",scope=\"" + scope + "\""));
    return refused;
  }
  std::string basic_value() const {
    return "Basic " + base64_encode(as_bytes(std::string_view(user + ":" + password)));
  }

  rt::Task<Result<http::Response>> give_token(rt::Op& op, http::Request request) {
    CO_TRY(const std::string form, co_await http::read_all(op, std::move(request.body), 64 * 1024));
    ScopeSet scopes;
    bool known = false;
    if (request.method == "POST") {
      if (!token_knows_post) co_return error(404, "UNSUPPORTED");
      scopes.add_text(http::query_get(form, "scope").value_or(""));
      known = http::query_get(form, "refresh_token") == identity_token;
      if (!known) co_return error(401, "UNAUTHORIZED", "no such " + identity_token);
    } else {
      for (const std::string& scope : http::query_get_all(request.url.query, "scope"))
        scopes.add_text(scope);
      const std::string sent(request.headers.get("Authorization").value_or(""));
      known = sent == basic_value();
      const bool anonymous = sent.empty() && anonymous_pull && !scopes.string().contains("push");
      if (!known && !anonymous) co_return error(401, "UNAUTHORIZED", "you sent " + sent);
    }
    const std::string token = fmt::format("CANARY-token-{}", ++tokens_given);
    tokens_[token] = {scopes, token_uses};
    co_return http::reply(
        200, "application/json",
        fmt::format(R"({{"token":"{}","expires_in":{}}})", token, token_lifetime));
  }

  // --- routes ---

  http::Response route(const http::Request& request, const std::string& body) {
    const std::string& path = request.url.path;
    if (path == "/v2/") return http::reply(200, "application/json", "{}");
    const std::string name = repository_of(path);
    const std::string rest = path.substr(std::min(path.size(), name.size() + 4));
    if (rest.starts_with("/blobs/uploads/")) return upload(request, name, rest.substr(15), body);
    if (rest.starts_with("/blobs/")) return blob(request, name, rest.substr(7));
    if (rest.starts_with("/manifests/")) return manifest(request, name, rest.substr(11), body);
    if (rest.starts_with("/referrers/")) return referrers(request, name, rest.substr(11));
    if (rest == "/tags/list") return tag_list(request, name);
    return error(404, "NAME_UNKNOWN");
  }

  void set_digest(http::Response& response, const std::string& digest) const {
    if (digest_header)
      response.headers.set("Docker-Content-Digest", digest_lie.empty() ? digest : digest_lie);
  }

  http::Response blob(const http::Request& request, const std::string& name,
                      const std::string& digest) {
    auto& blobs = repos[name].blobs;
    const auto found = blobs.find(digest);
    if (found == blobs.end()) return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    if (request.method == "DELETE") {
      if (!allow_delete) return error(405, "UNSUPPORTED");
      blobs.erase(found);
      return bare(202);
    }
    if (!blob_redirect.empty() && request.method == "GET")
      return bare(307, {{"Location", blob_redirect + digest}});
    return blob_bytes(request, found->second, digest);
  }

 public:
  // How blobs are served; for a storage host that a test puts beside the registry.
  http::Response blob_bytes(const http::Request& request, const std::string& bytes,
                            const std::string& digest) {
    http::Response response = bare(200);
    set_digest(response, digest);
    std::string part = bytes;
    const std::string_view range = request.headers.get("Range").value_or("");
    if (!range.empty() && !ignore_ranges) {
      const std::size_t dash = range.find('-');
      const std::size_t first = parse_u64(range.substr(6, dash - 6)).value();
      const std::size_t last =
          std::min(parse_u64(range.substr(dash + 1)).value(), bytes.size() - 1);
      if (first >= bytes.size()) return error(416, "RANGE_INVALID");
      part = bytes.substr(first, last - first + 1);
      response.status = 206;
      const std::string truth = fmt::format("bytes {}-{}/{}", first, last, bytes.size());
      response.headers.set("Content-Range", content_range.empty() ? truth : content_range);
    }
    response.headers.set("Content-Length", std::to_string(part.size()));
    if (request.method == "HEAD") return response;
    const std::size_t size = part.size();
    response.body = http::Body(
        std::make_unique<PieceReader>(std::move(part), cut_blobs_after.value_or(SIZE_MAX), cut_end),
        size);
    return response;
  }

 private:
  http::Response manifest(const http::Request& request, const std::string& name,
                          const std::string& reference, const std::string& body) {
    Repo& repo = repos[name];
    if (request.method == "PUT") return put_manifest(request, repo, reference, body);
    const auto tag = repo.tags.find(reference);
    const std::string digest = tag == repo.tags.end() ? reference : tag->second;
    if (request.method == "DELETE") return delete_manifest(repo, reference);
    if (request.method == "HEAD" && !head_manifests) return bare(405);
    const auto found = repo.manifests.find(digest);
    if (found == repo.manifests.end()) return error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    http::Response response = bare(200);
    response.headers.set("Content-Type",
                         manifest_type_lie.empty() ? found->second.type : manifest_type_lie);
    response.headers.set("Content-Length", std::to_string(found->second.bytes.size()));
    set_digest(response, digest);
    if (request.method == "GET") response.body = found->second.bytes;
    return response;
  }
  http::Response put_manifest(const http::Request& request, Repo& repo,
                              const std::string& reference, const std::string& body) {
    const std::string type(request.headers.get("Content-Type").value_or(""));
    const std::string digest = oci::Digest::of(as_bytes(body)).string();
    if (reference.contains(':') && reference != digest) return error(400, "DIGEST_INVALID");
    const auto value = json::parse(body, "manifest");
    if (!value) return error(400, "MANIFEST_INVALID");
    if (const auto children = oci::children(body, type)) {
      for (const oci::Descriptor& child : *children) {
        const std::string wanted = child.digest.string();
        if (!repo.blobs.contains(wanted) && !repo.manifests.contains(wanted))
          return error(400, "MANIFEST_BLOB_UNKNOWN");
      }
    }
    repo.manifests[digest] = {type, body};
    if (!reference.contains(':')) repo.tags[reference] = digest;
    http::Response response = bare(201);
    set_digest(response, digest);
    const auto subject = json::View(*value, "").find("subject");
    if (subject && referrers_api)
      response.headers.set("OCI-Subject", subject->string("digest").value_or(""));
    return response;
  }
  http::Response delete_manifest(Repo& repo, const std::string& reference) {
    if (!allow_delete) return error(405, "UNSUPPORTED");
    if (repo.tags.erase(reference) == 1) return bare(202);
    if (repo.manifests.erase(reference) == 0) return error(404, "MANIFEST_UNKNOWN");
    std::erase_if(repo.tags, [&](const auto& tag) { return tag.second == reference; });
    return bare(202);
  }

  http::Response referrers(const http::Request& request, const std::string& name,
                           const std::string& subject) {
    if (!referrers_api) return error(404, "NOT_FOUND");
    json::Array list;
    for (const auto& [digest, manifest] : repos[name].manifests) {
      const auto value = json::parse(manifest.bytes, "manifest").value();
      const auto named = json::View(value, "").find("subject");
      if (!named || named->string("digest").value_or("") != subject) continue;
      oci::Descriptor entry = oci::describe(manifest.bytes, manifest.type);
      entry.artifact_type = json::View(value, "").string_or("artifactType", "").value_or("");
      list.push_back(oci::to_json(entry));
    }
    const std::size_t from =
        parse_u64(http::query_get(request.url.query, "from").value_or("0")).value_or(0);
    json::Array page;
    for (std::size_t i = from; i < std::min(list.size(), from + page_size); ++i)
      page.push_back(list[i]);
    json::Object index;
    index["schemaVersion"] = 2;
    index["mediaType"] = oci::media::kIndex;
    index["manifests"] = std::move(page);
    http::Response response = http::reply(200, oci::media::kIndex, json::serialize(index));
    if (from + page_size < list.size()) {
      response.headers.set(
          "Link", fmt::format("<{}?from={}>; rel=\"next\"", request.url.path, from + page_size));
    }
    return response;
  }

  http::Response tag_list(const http::Request& request, const std::string& name) {
    if (!repos.contains(name))
      return error(404, "NAME_UNKNOWN", "repository name not known to registry");
    const std::string last = http::query_get(request.url.query, "last").value_or("");
    json::Array page;
    std::string shown_last;
    for (auto tag = repos[name].tags.upper_bound(last);
         tag != repos[name].tags.end() && page.size() < page_size; ++tag) {
      page.emplace_back(tag->first);
      shown_last = tag->first;
    }
    json::Object list;
    list["name"] = name;
    list["tags"] = std::move(page);
    http::Response response = http::reply(200, "application/json", json::serialize(list));
    if (!shown_last.empty() && repos[name].tags.upper_bound(shown_last) != repos[name].tags.end()) {
      response.headers.set("Link", fmt::format("<{}?last={}&n={}>; rel=\"next\"", request.url.path,
                                               shown_last, page_size));
    }
    return response;
  }

  // --- uploads ---

  http::Response accepted(const std::string& name, const std::string& id, int status = 202) {
    http::Response response = bare(status);
    response.headers.set(
        "Location", fmt::format("{}/v2/{}/blobs/uploads/{}?_state=s{}", upload_location, name, id,
                                uploads[id].second.size()));
    const std::size_t held = uploads[id].second.size();
    response.headers.set("Range", fmt::format("0-{}", held == 0 ? 0 : held - 1));
    if (min_chunk) response.headers.set("OCI-Chunk-Min-Length", *min_chunk);
    return response;
  }
  http::Response upload(const http::Request& request, const std::string& name,
                        const std::string& id, const std::string& body) {
    if (request.method == "POST") return open_upload(request, name);
    const auto found = uploads.find(id);
    if (found == uploads.end()) return error(404, "BLOB_UPLOAD_UNKNOWN");
    if (request.method == "GET") {
      http::Response status = accepted(name, id, 204);
      if (!status_range.empty()) status.headers.set("Range", status_range);
      return status;
    }
    if (request.method == "DELETE") {
      uploads.erase(found);
      canceled.insert(id);
      return bare(204);
    }
    return request.method == "PATCH" ? patch(request, name, id, body)
                                     : close(request, name, id, body);
  }
  http::Response open_upload(const http::Request& request, const std::string& name) {
    const auto digest = http::query_get(request.url.query, "mount");
    const auto from = http::query_get(request.url.query, "from");
    if (digest && from && allow_mount && repos[*from].blobs.contains(*digest)) {
      repos[name].blobs[*digest] = repos[*from].blobs[*digest];
      http::Response response = bare(201);
      set_digest(response, *digest);
      return response;
    }
    const std::string id = fmt::format("upload-{}", ++uploads_opened_);
    uploads[id] = {name, ""};
    return accepted(name, id);
  }
  http::Response patch(const http::Request& request, const std::string& name, const std::string& id,
                       const std::string& body) {
    std::string& held = uploads[id].second;
    const std::string range(request.headers.get("Content-Range").value_or(""));
    if (chunks_like_ecr) {
      if (held.empty()) held += body;
      return accepted(name, id, 201);
    }
    if (!range.empty() && !range.starts_with(std::to_string(held.size()) + "-"))
      return error(416, "RANGE_INVALID");
    held += body.substr(0, keep_of_patch);
    return accepted(name, id);
  }
  http::Response close(const http::Request& request, const std::string& name, const std::string& id,
                       const std::string& body) {
    const std::string bytes = uploads[id].second + body;
    const std::string digest = http::query_get(request.url.query, "digest").value_or("");
    uploads.erase(id);
    const auto parsed = oci::Digest::parse(digest);
    if (!parsed || oci::Digest::of(as_bytes(bytes), parsed->algorithm()) != *parsed)
      return error(400, "DIGEST_INVALID");
    if (!forget_blobs) repos[name].blobs[digest] = bytes;
    http::Response response = bare(201);
    response.headers.set("Location", fmt::format("/v2/{}/blobs/{}", name, digest));
    set_digest(response, digest);
    return response;
  }

  std::map<std::string, Token> tokens_;
  int uploads_opened_ = 0;
};

}  // namespace berth::remote
