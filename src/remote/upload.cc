#include "remote/upload.h"

#include <algorithm>

#include "remote/field.h"

namespace berth::remote {
namespace {

constexpr std::uint64_t kLargestChunk = 1024ull * 1024 * 1024;
constexpr int kMaxChunksInVain = 5;  // in a row without a byte of progress

// The answers to a single PUT that chunks may get around: too large, no length wanted, not this
// way.
bool may_want_chunks(int status) {
  return status == 405 || status == 411 || status == 413 || status == 416 || status == 501;
}

// A session's Location may have a digest left over from another answer.
http::Url with_digest(http::Url url, const oci::Digest& digest) {
  std::string query;
  for (const std::string& field : split(url.query, '&')) {
    if (!field.empty() && !field.starts_with("digest=")) query += field + "&";
  }
  url.query = query + "digest=" + http::percent_encode(digest.string());
  return url;
}

}  // namespace

Result<UploadSession> session_of(const Endpoint& endpoint, const Answer& answer) {
  const auto location = answer.response.headers.get("Location");
  if (!location)
    return fail(Code::kCorrupt, "{} opened an upload without saying where", endpoint.registry());
  UploadSession session;
  TRY(session.location, endpoint.wire().follow(answer.url, *location));
  const auto min_chunk = answer.response.headers.get("OCI-Chunk-Min-Length");
  session.min_chunk = min_chunk ? parse_u64(trim(*min_chunk)).value_or(0) : 0;
  return session;
}

Call upload_call(const Endpoint& endpoint, const std::string& repository, std::string query,
                 std::string doing) {
  static TextBody empty{""};
  Call call{.doing = std::move(doing),
            .method = "POST",
            .url = endpoint.url(repository + "/blobs/uploads/", std::move(query))};
  call.body = &empty;  // so that Content-Length: 0 is sent, which some servers insist on
  call.repository = repository;
  call.scopes = ScopeSet::repository(repository, "pull,push");
  return call;
}

Upload::Upload(Endpoint& endpoint, oci::Descriptor blob, content::Fetcher& from,
               content::Progress& progress, Settings settings)
    : endpoint_(endpoint),
      blob_(std::move(blob)),
      progress_(progress),
      settings_(std::move(settings)),
      body_(from, blob_, [this](std::uint64_t at) { report(content::Event::Kind::kBytes, at); }) {}

void Upload::report(content::Event::Kind kind, std::uint64_t current, std::string message) {
  progress_.on({.kind = kind, .blob = blob_, .current = current, .message = std::move(message)});
}

Call Upload::call(std::string method, http::Url url) const {
  Call call{.doing = settings_.doing, .method = std::move(method), .url = std::move(url)};
  call.repository = settings_.repository;
  call.scopes = ScopeSet::repository(settings_.repository, "pull,push");
  return call;
}

Task<Status> Upload::run(rt::Op& op, std::optional<UploadSession> session) {
  Patience patience(settings_.retry);
  bool changed_way = false;
  while (true) {
    if (!session) {
      CO_TRY(session, co_await open(op));
    }
    const bool chunked = endpoint_.quirks().chunks == Quirks::Chunks::kAlways;
    CO_TRY(const Step step,
           chunked ? co_await in_chunks(op, *session) : co_await whole(op, *session));
    session.reset();
    if (step == Step::kDone) co_return Status();
    if (step == Step::kOtherWay) {
      if (changed_way) co_return std::unexpected(*failure_);
      changed_way = true;
      endpoint_.quirks().chunks = chunked ? Quirks::Chunks::kNever : Quirks::Chunks::kAlways;
      continue;
    }
    const auto delay = patience.after(*failure_);
    if (!delay) co_return std::unexpected(*failure_);
    report(content::Event::Kind::kRetry, 0,
           fmt::format("trying again in {}: {}", format_duration(*delay), failure_->message()));
    CO_TRY_OK(co_await patience.wait(op, *delay));
  }
}

Task<Result<UploadSession>> Upload::open(rt::Op& op) {
  CO_TRY(Answer answer, co_await endpoint_.send(
                            op, upload_call(endpoint_, settings_.repository, "", settings_.doing)));
  if (answer.status() != 202)
    co_return std::unexpected(co_await endpoint_.error(op, settings_.doing, std::move(answer)));
  auto session = in_context(session_of(endpoint_, answer), settings_.doing);
  co_await drain(op, std::move(answer.response));
  co_return session;
}

Task<Result<Upload::Step>> Upload::whole(rt::Op& op, UploadSession session) {
  body_.abandon();
  body_.slice(0, blob_.size);
  Call put = call("PUT", with_digest(session.location, blob_.digest));
  put.body = &body_;
  put.headers.set("Content-Type", "application/octet-stream");
  put.tries = Tries::kOnce;
  auto outcome = co_await endpoint_.send(op, std::move(put));
  if (outcome && may_want_chunks(outcome->status()) &&
      endpoint_.quirks().chunks == Quirks::Chunks::kFallback) {
    failure_ = co_await endpoint_.error(op, settings_.doing, std::move(*outcome));
    co_return Step::kOtherWay;
  }
  if (!outcome || outcome->status() / 100 != 2) co_return co_await failed(op, std::move(outcome));
  co_return co_await closed(op, std::move(*outcome));
}

// What a failed request means for the upload: another session, or the end.
Task<Result<Upload::Step>> Upload::failed(rt::Op& op, Result<Answer> outcome) {
  CO_TRY_OK(op.check());
  if (!outcome) {
    // An answer that came early cancels the reading of the source, which is not the source's fault.
    const auto& source = body_.source_failure();
    if (source && source->code() != Code::kCancelled)
      co_return std::unexpected(Error(*source).with_context(settings_.doing));
    failure_ = outcome.error();
    co_return Step::kAgain;
  }
  const int status = outcome->status();
  failure_ = co_await endpoint_.error(op, settings_.doing, std::move(*outcome));
  const Quirks& quirks = endpoint_.quirks();
  if (quirks.max_blob != 0 && blob_.size > quirks.max_blob) {
    failure_ = Error(
        failure_->code(),
        fmt::format("{}; {} takes at most {} a layer and this one is {}: split the model's file",
                    failure_->message(), endpoint_.registry(), quirks.max_blob_text,
                    format_size(blob_.size)));
    co_return std::unexpected(*failure_);
  }
  if (status == 404) {  // the session is gone, which a new one mends
    failure_ = Error(Code::kUnavailable, failure_->message());
    co_return Step::kAgain;
  }
  if (Patience::is_transient(status)) {
    co_return Step::kAgain;
  }
  co_return std::unexpected(*failure_);
}

Task<Result<Upload::Step>> Upload::in_chunks(rt::Op& op, UploadSession session) {
  body_.abandon();
  failure_.reset();
  held_ = 0;
  std::uint64_t most = 0;
  int in_vain = 0;
  while (held_ < blob_.size) {
    CO_TRY(Step step, co_await chunk(op, session));
    if (step == Step::kOtherWay) co_return step;
    if (step == Step::kAgain) {
      CO_TRY(step, co_await ask_status(op, session));
      if (step != Step::kDone) co_return step;
    }
    report(content::Event::Kind::kBytes, held_);
    in_vain = held_ > most ? 0 : in_vain + 1;
    most = std::max(most, held_);
    if (in_vain <= kMaxChunksInVain) continue;
    if (!failure_) {
      failure_ =
          Error(Code::kUnavailable, fmt::format("{}: {} accepts chunks and keeps nothing of them",
                                                settings_.doing, endpoint_.registry()));
    }
    co_return Step::kAgain;
  }
  co_return co_await finish(op, session);
}

Task<Result<Upload::Step>> Upload::chunk(rt::Op& op, UploadSession& session) {
  const std::uint64_t wanted =
      std::min(std::max(settings_.chunk_bytes, session.min_chunk), kLargestChunk);
  const std::uint64_t length = std::min(wanted, blob_.size - held_);
  body_.slice(held_, length);
  Call patch = call("PATCH", session.location);
  patch.body = &body_;
  patch.headers.set("Content-Type", "application/octet-stream");
  patch.headers.set("Content-Range", fmt::format("{}-{}", held_, held_ + length - 1));
  patch.tries = Tries::kOnce;
  auto outcome = co_await endpoint_.send(op, std::move(patch));
  if (outcome && outcome->status() == 201) {
    // Who acknowledges chunks like this loses them (ECR), so nothing that was sent counts.
    failure_ = Error(Code::kUnsupported, fmt::format("{}: {} does not take uploads in chunks",
                                                     settings_.doing, endpoint_.registry()));
    co_return Step::kOtherWay;
  }
  if (outcome && outcome->status() == 416) {
    const Error refused = co_await endpoint_.error(op, settings_.doing, std::move(*outcome));
    failure_ = Error(Code::kUnavailable, refused.message());  // another session may mend it
    co_return Step::kAgain;
  }
  if (!outcome || outcome->status() / 100 != 2) co_return co_await failed(op, std::move(outcome));
  const http::Headers& headers = outcome->response.headers;
  const auto reached = parse_upload_range(headers.get("Range").value_or(""));
  if (reached && *reached > held_ + length) {
    co_return fail(Code::kCorrupt, "{}: {} acknowledges {} bytes of {} sent", settings_.doing,
                   endpoint_.registry(), *reached, held_ + length);
  }
  if (headers.get("Location")) {
    CO_TRY(session.location, endpoint_.wire().follow(outcome->url, *headers.get("Location")));
  }
  held_ = reached.value_or(held_ + length);
  co_await drain(op, std::move(outcome->response));
  co_return Step::kDone;
}

Task<Result<Upload::Step>> Upload::ask_status(rt::Op& op, UploadSession& session) {
  body_.abandon();
  CO_TRY(Answer answer, co_await endpoint_.send(op, call("GET", session.location)));
  if (answer.status() / 100 != 2) co_return Step::kAgain;
  const http::Headers& headers = answer.response.headers;
  const auto reached = parse_upload_range(headers.get("Range").value_or(""));
  // docker-registry says "0-0" for nothing as well.
  const std::uint64_t held = !reached || *reached == 1 ? 0 : *reached;
  if (held > blob_.size) co_return Step::kAgain;
  held_ = held;
  if (headers.get("Location")) {
    CO_TRY(session.location, endpoint_.wire().follow(answer.url, *headers.get("Location")));
  }
  report(content::Event::Kind::kRetry, held_, "going on where the registry is");
  co_return Step::kDone;
}

Task<Result<Upload::Step>> Upload::finish(rt::Op& op, UploadSession session) {
  body_.slice(blob_.size, 0);
  Call put = call("PUT", with_digest(session.location, blob_.digest));
  put.body = &body_;
  put.tries = Tries::kOnce;
  auto outcome = co_await endpoint_.send(op, std::move(put));
  if (!outcome || outcome->status() / 100 != 2) co_return co_await failed(op, std::move(outcome));
  co_return co_await closed(op, std::move(*outcome));
}

// An acknowledgement is a claim: it is believed when it names our digest, else the registry is
// asked for the blob.
Task<Result<Upload::Step>> Upload::closed(rt::Op& op, Answer answer) {
  const auto digest = content_digest(answer.response.headers);
  const bool comparable = digest && digest->algorithm() == blob_.digest.algorithm();
  const bool named = answer.status() == 201 && comparable;
  co_await drain(op, std::move(answer.response));
  if (comparable && *digest != blob_.digest) {
    co_return fail(Code::kDigestMismatch, "{}: {} stored {} when {} was sent", settings_.doing,
                   endpoint_.registry(), digest->string(), blob_.digest.string());
  }
  if (named) co_return Step::kDone;
  CO_TRY(const bool there, co_await is_there(op));
  if (there) co_return Step::kDone;
  failure_ = Error(Code::kUnavailable,
                   fmt::format("{}: {} acknowledged {} and does not have it", settings_.doing,
                               endpoint_.registry(), blob_.digest.string()));
  co_return Step::kAgain;
}

Task<Result<bool>> Upload::is_there(rt::Op& op) {
  Call head = call("HEAD", endpoint_.url(settings_.repository + "/blobs/" + blob_.digest.string()));
  CO_TRY(const Answer answer, co_await endpoint_.send(op, std::move(head)));
  co_return answer.status() == 200;
}

}  // namespace berth::remote
