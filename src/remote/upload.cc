#include "remote/upload.h"

#include <algorithm>

#include "base/failpoint.h"
#include "remote/field.h"

namespace berth::remote {
namespace {

constexpr std::uint64_t kMebibyte = 1024 * 1024;
constexpr std::uint64_t kLargestChunk = 1024 * kMebibyte;
constexpr std::uint64_t kLeastChunk = 64 * 1024;
// GHCR's bound of a PATCH with a Content-Range, and the likeliest one of whoever refuses a larger.
constexpr std::uint64_t kSmallChunk = 4 * kMebibyte;
// Many registries read the whole blob again before they acknowledge it.
constexpr std::uint64_t kHashedInASecond = 32 * kMebibyte;
// So much must have gone for a cut to say something about the registry.
constexpr std::uint64_t kTelling = 4 * kMebibyte;
// Below this a second request costs more than a cut.
constexpr std::uint64_t kWorthStreaming = 64 * kMebibyte;

// The answers to a single PUT that chunks may get around: too large, no length wanted, not this
// way.
bool may_want_chunks(int status) {
  return status == 405 || status == 411 || status == 413 || status == 416 || status == 501;
}

// The answers to a PATCH that mean that there are none.
bool knows_no_patch(int status) { return status == 405 || status == 415 || status == 501; }

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
      body_(from, blob_, settings_.throttles, [this](std::uint64_t at) {
        given_ = std::max(given_, at);
        report(content::Event::Kind::kBytes, at);
      }) {}

void Upload::report(content::Event::Kind kind, std::uint64_t current, std::string message) {
  progress_.on({.kind = kind, .blob = blob_, .current = current, .message = std::move(message)});
}

Call Upload::call(std::string method, http::Url url) {
  Call call{.doing = settings_.doing, .method = std::move(method), .url = std::move(url)};
  call.repository = settings_.repository;
  call.scopes = ScopeSet::repository(settings_.repository, "pull,push");
  call.on_wait = [this](const std::string& why) {
    report(content::Event::Kind::kRetry, held_, why);
  };
  return call;
}

Call Upload::closing_call() {
  Call put = call("PUT", with_digest(session_->location, blob_.digest));
  put.body = &body_;
  put.tries = Tries::kOnce;
  put.first_byte = settings_.first_byte + std::chrono::seconds(blob_.size / kHashedInASecond);
  return put;
}

// ---- the whole of it

Task<Status> Upload::run(rt::Op& op, std::optional<UploadSession> session) {
  CO_TRY_OK(co_await claim(op));
  if (!session_) session_ = std::move(session);
  const Status outcome = co_await until_done(op);
  // What a later run could go on with stays in the journal; a refusal is final.
  const bool resumable = !outcome && session_ && given_ > 0;
  if (claim_ && !resumable) co_await claim_->forget(op);
  co_return outcome;
}

// An upload that another process left: where the registry is, is asked before anything is sent.
Task<Status> Upload::claim(rt::Op& op) {
  if (settings_.journal == nullptr || blob_.size < settings_.journal_from) co_return Status();
  claim_ = co_await settings_.journal->claim(op, {.registry = endpoint_.wire().base().to_string(),
                                                  .repository = settings_.repository,
                                                  .digest = blob_.digest.string()});
  const auto saved = claim_ ? claim_->found() : std::nullopt;
  if (!saved) co_return Status();
  auto url = http::parse_url(saved->url);
  if (url) url = endpoint_.wire().follow(endpoint_.wire().base(), url->to_string());
  if (!url) co_return Status();
  session_ = UploadSession{.location = std::move(*url)};
  given_ = blob_.size;  // how much the process that is gone had sent is not known
  unsure_ = true;
  co_return Status();
}

// From where the registry is, or the beginning, as far as it goes.
Task<Result<Upload::Step>> Upload::next(rt::Op& op) {
  if (unsure_) {
    CO_TRY(const Seen seen, co_await look(op));
    if (seen == Seen::kBlob) co_return Step::kDone;
    if (seen == Seen::kNothing) co_return Step::kAgain;
  }
  if (!session_) {
    held_ = given_ = 0;
    CO_TRY(session_, co_await open(op));
    co_await note(op);
  }
  co_return co_await send(op);
}

Task<Status> Upload::until_done(rt::Op& op) {
  std::optional<Patience> patience(std::in_place, settings_.retry, endpoint_.pause());
  std::uint64_t furthest = 0;
  while (true) {
    CO_TRY(const Step step, co_await next(op));
    if (step == Step::kDone) co_return Status();
    // It moves, so it may go on.
    if (held_ > furthest) patience.emplace(settings_.retry, endpoint_.pause());
    furthest = std::max(furthest, held_);
    if (step == Step::kOtherWay) {
      const bool another = change_way();
      co_await endpoint_.remember_quirks(op);
      if (!another) co_return std::unexpected(*failure_);
      continue;
    }
    const auto delay = patience->after(*failure_);
    if (!delay) co_return std::unexpected(*failure_);
    report(content::Event::Kind::kRetry, held_,
           fmt::format("trying again in {}: {}", format_duration(*delay), failure_->message()));
    CO_TRY_OK(co_await patience->wait(op, *delay));
  }
}

Task<Result<UploadSession>> Upload::open(rt::Op& op) {
  Call post = upload_call(endpoint_, settings_.repository, "", settings_.doing);
  post.on_wait = [this](const std::string& why) { report(content::Event::Kind::kRetry, 0, why); };
  CO_TRY(Answer answer, co_await endpoint_.send(op, std::move(post)));
  if (answer.status() != 202)
    co_return std::unexpected(co_await endpoint_.error(op, settings_.doing, std::move(answer)));
  auto session = in_context(session_of(endpoint_, answer), settings_.doing);
  co_await drain(op, std::move(answer.response));
  BERTH_FAILPOINT("remote.upload.after_post");
  co_return session;
}

Task<void> Upload::note(rt::Op& op) {
  if (!claim_ || !session_) co_return;
  co_await claim_->keep(op, {.url = session_->location.to_string(), .held = held_});
}

void Upload::lose_session() {
  session_.reset();
  body_.abandon();
  held_ = given_ = 0;
  continued_ = false;
}

bool Upload::change_way() {
  lose_session();
  unsure_ = false;
  Quirks& quirks = endpoint_.quirks();
  quirks.chunks = patch_refused_ ? Quirks::Chunks::kNever : Quirks::Chunks::kAlways;
  return !(put_refused_ && patch_refused_);
}

// ---- the ways

Upload::Way Upload::way() const {
  const Quirks& quirks = endpoint_.quirks();
  if (quirks.chunks == Quirks::Chunks::kAlways) return Way::kChunks;
  if (held_ > 0) return quirks.chunk_bytes == 0 ? Way::kStream : Way::kChunks;
  const bool put_is_lost = quirks.cut == Quirks::Cut::kPutLost && blob_.size >= kWorthStreaming;
  return put_is_lost && quirks.chunks != Quirks::Chunks::kNever ? Way::kStream : Way::kPut;
}

Task<Result<Upload::Step>> Upload::send(rt::Op& op) {
  failure_.reset();
  if (way() == Way::kPut) co_return co_await put_whole(op);
  co_return co_await patch_rest(op);
}

Task<Result<Upload::Step>> Upload::put_whole(rt::Op& op) {
  body_.abandon();
  body_.slice(0, blob_.size);
  Call put = closing_call();
  put.headers.set("Content-Type", "application/octet-stream");
  auto outcome = co_await endpoint_.send(op, std::move(put));
  if (outcome && may_want_chunks(outcome->status()) &&
      endpoint_.quirks().chunks != Quirks::Chunks::kNever) {
    put_refused_ = true;
    failure_ = co_await endpoint_.error(op, settings_.doing, std::move(*outcome));
    co_return Step::kOtherWay;
  }
  if (!outcome || outcome->status() / 100 != 2) co_return co_await failed(op, std::move(outcome));
  co_return co_await closed(op, std::move(*outcome));
}

std::uint64_t Upload::chunk_length() const {
  if (way() == Way::kStream) return blob_.size - held_;
  const std::uint64_t learned = endpoint_.quirks().chunk_bytes;
  const std::uint64_t usual = learned == 0 ? settings_.chunk_bytes : learned;
  const std::uint64_t wanted = std::min(std::max(usual, session_->min_chunk), kLargestChunk);
  return std::min(wanted, blob_.size - held_);
}

Task<Result<Upload::Step>> Upload::patch_rest(rt::Op& op) {
  while (held_ < blob_.size) {
    const std::uint64_t before = held_;
    CO_TRY(const Step step, co_await patch(op, chunk_length()));
    if (step != Step::kDone) co_return step;
    report(content::Event::Kind::kBytes, held_);
    if (held_ > before) continue;
    failure_ =
        Error(Code::kUnavailable, fmt::format("{}: {} accepts chunks and keeps nothing of them",
                                              settings_.doing, endpoint_.registry()));
    co_return Step::kAgain;
  }
  co_return co_await finish(op);
}

Task<Result<Upload::Step>> Upload::patch(rt::Op& op, std::uint64_t length) {
  body_.slice(held_, length);
  Call patch = call("PATCH", session_->location);
  patch.body = &body_;
  patch.headers.set("Content-Type", "application/octet-stream");
  // The first and only PATCH goes without, as docker sends it, which everybody takes.
  if (length != blob_.size || way() == Way::kChunks)
    patch.headers.set("Content-Range", fmt::format("{}-{}", held_, held_ + length - 1));
  patch.tries = Tries::kOnce;
  auto outcome = co_await endpoint_.send(op, std::move(patch));
  if (!outcome) co_return co_await failed(op, std::move(outcome));
  const int status = outcome->status();
  if (status == 201 || status == 413 || status == 416 || knows_no_patch(status))
    co_return co_await patch_refused(op, std::move(*outcome), length);
  if (status / 100 != 2) co_return co_await failed(op, std::move(outcome));
  co_return co_await patched(op, std::move(*outcome), length);
}

Task<Result<Upload::Step>> Upload::patched(rt::Op& op, Answer answer, std::uint64_t length) {
  const http::Headers& headers = answer.response.headers;
  const auto reached = parse_upload_range(headers.get("Range").value_or(""));
  if (reached && *reached > held_ + length) {
    co_return fail(Code::kCorrupt, "{}: {} acknowledges {} bytes of {} sent", settings_.doing,
                   endpoint_.registry(), *reached, held_ + length);
  }
  if (headers.get("Location")) {
    CO_TRY(session_->location, endpoint_.wire().follow(answer.url, *headers.get("Location")));
  }
  held_ = reached.value_or(held_ + length);
  co_await drain(op, std::move(answer.response));
  co_await note(op);
  co_return Step::kDone;
}

// A PATCH that is too large is tried smaller, where the registry is; other refusals end this way.
Task<Result<Upload::Step>> Upload::patch_refused(rt::Op& op, Answer answer, std::uint64_t length) {
  const int status = answer.status();
  failure_ = co_await endpoint_.error(op, settings_.doing, std::move(answer));
  if (status == 201) {
    // Who acknowledges chunks like this loses them (ECR), so nothing that was sent counts.
    failure_ = Error(Code::kUnsupported, fmt::format("{}: {} does not take uploads in chunks",
                                                     settings_.doing, endpoint_.registry()));
  }
  Quirks& quirks = endpoint_.quirks();
  const bool shrinkable = length > std::max(kLeastChunk, session_->min_chunk);
  if (status == 413 && shrinkable) {
    quirks.chunk_bytes = std::min(std::max(length / 4, kLeastChunk), settings_.chunk_bytes);
    quirks.chunks = Quirks::Chunks::kAlways;
  } else if (status == 416) {
    if (length > kSmallChunk && shrinkable) quirks.chunk_bytes = kSmallChunk;
  } else {
    patch_refused_ = true;
    co_return Step::kOtherWay;
  }
  co_await endpoint_.remember_quirks(op);
  failure_ = Error(Code::kUnavailable, failure_->message());
  unsure_ = true;
  co_return Step::kAgain;
}

Task<Result<Upload::Step>> Upload::finish(rt::Op& op) {
  BERTH_FAILPOINT("remote.upload.before_close");
  body_.slice(blob_.size, 0);
  Call put = closing_call();
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
  lose_session();
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

// ---- what goes wrong

// What a failed request means for the upload: to go on where the registry is, or the end.
Task<Result<Upload::Step>> Upload::failed(rt::Op& op, Result<Answer> outcome) {
  CO_TRY_OK(op.check());
  unsure_ = true;
  if (!outcome) {
    // An answer that came early cancels the reading of the source, which is not the source's fault.
    const auto& source = body_.source_failure();
    if (source && source->code() != Code::kCancelled)
      co_return std::unexpected(Error(*source).with_context(settings_.doing));
    failure_ = outcome.error();
    co_return Step::kAgain;
  }
  const int status = outcome->status();
  const bool renewed = outcome->renewed;
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
  const bool spoilt = failure_->code() == Code::kDigestMismatch && continued_;
  if (spoilt) distrusted_ = true;
  // docker-registry calls an upload that it gave up invalid.
  const bool lost = status == 404 || status == 410 || failure_->message().contains("BLOB_UPLOAD_");
  if (lost || spoilt) {
    unsure_ = false;
    lose_session();  // which a new one mends
  }
  if (lost || spoilt || (renewed && status == 401))
    failure_ = Error(Code::kUnavailable, failure_->message());
  if (failure_->code() == Code::kUnavailable || Patience::is_transient(status))
    co_return Step::kAgain;
  session_.reset();
  co_return std::unexpected(*failure_);
}

std::optional<std::uint64_t> Upload::believable(const http::Headers& headers) const {
  const auto reached = parse_upload_range(headers.get("Range").value_or(""));
  // docker-registry says "0-0" for nothing as well.
  const std::uint64_t held = !reached || *reached == 1 ? 0 : *reached;
  if (distrusted_ || held > std::min(given_, blob_.size)) return std::nullopt;
  return held;
}

// The session is gone, or what it says cannot be used.
Task<Result<Upload::Seen>> Upload::lost(rt::Op& op) {
  const bool all_given = given_ == blob_.size;
  lose_session();
  // Only the acknowledgement may have been lost.
  if (!all_given) co_return Seen::kState;
  CO_TRY(const bool there, co_await is_there(op));
  co_return there ? Seen::kBlob : Seen::kState;
}

Task<Result<Upload::Seen>> Upload::look(rt::Op& op) {
  body_.abandon();
  unsure_ = false;
  Quirks& quirks = endpoint_.quirks();
  const bool by_put = way() == Way::kPut;
  const bool telling = given_ >= held_ + kTelling;
  // Where nothing can be added to what is there, it does not matter how much that is.
  if (!session_ || quirks.chunks == Quirks::Chunks::kNever) co_return co_await lost(op);
  auto answer = co_await endpoint_.send(op, call("GET", session_->location));
  CO_TRY_OK(op.check());
  if (!answer) {
    failure_ = answer.error();
    const Code code = failure_->code();
    const bool passing = code == Code::kUnavailable || code == Code::kTimeout;
    if (!passing) co_return co_await lost(op);
    unsure_ = true;
    co_return Seen::kNothing;
  }
  const bool alive = answer->status() / 100 == 2;
  const auto held = alive ? believable(answer->response.headers) : std::nullopt;
  const auto location = answer->response.headers.get("Location");
  auto following = location ? endpoint_.wire().follow(answer->url, *location)
                            : Result<http::Url>(session_->location);
  co_await drain(op, std::move(answer->response));
  if (telling && held.value_or(0) <= held_)
    quirks.cut = by_put ? Quirks::Cut::kPutLost : Quirks::Cut::kLost;
  // A PUT of which nothing came may have ended the session; an upload that is new costs nothing.
  if (!held || !following || (*held == 0 && by_put)) co_return co_await lost(op);
  session_->location = std::move(*following);
  held_ = *held;
  given_ = std::max(given_, held_);
  continued_ = held_ > 0;
  co_await note(op);
  report(content::Event::Kind::kRetry, held_,
         fmt::format("going on at {} of {}", format_size(held_), format_size(blob_.size)));
  co_return Seen::kState;
}

}  // namespace berth::remote
