#include <algorithm>

#include "base/log.h"
#include "oci/media_types.h"
#include "remote/field.h"
#include "remote/gunzip.h"
#include "remote/repository_state.h"

namespace berth::remote {
namespace {

// Which part of the blob a 206 holds, when that is a beginning of what was asked for; nullopt when
// what it says cannot be used.
std::optional<content::ByteRange> part_of(const http::Response& response, std::uint64_t size,
                                          content::ByteRange asked) {
  if (is_encoded(response.headers)) return std::nullopt;
  const auto length = content_length(response.headers);
  const auto range = parse_content_range(response.headers.get("Content-Range").value_or(""));
  const std::uint64_t last = asked.offset + *asked.length - 1;
  const bool fits = range && range->first == asked.offset && range->last >= range->first &&
                    range->last <= last && range->total.value_or(size) == size;
  if (!fits) return std::nullopt;
  const std::uint64_t got = range->last - range->first + 1;
  if (length.value_or(got) != got) return std::nullopt;
  return content::ByteRange{.offset = range->first, .length = got};
}

constexpr int kRangeTries = 2;

}  // namespace

// The answer with the blob or a part of it. A host whose parts come wrong is asked for whole blobs
// from then on.
Task<Result<RegistryCore::Read>> Repository::State::read_blob(rt::Op& op, oci::Descriptor blob,
                                                              content::ByteRange range,
                                                              std::string doing) {
  RegistryCore::ReadCall get{.doing = doing,
                             .path = name + "/blobs/" + blob.digest.string(),
                             .repository = name,
                             .on_wait = manner.on_wait};
  get.headers.set("Accept-Encoding", "identity");
  if (*range.length != blob.size) {
    get.range = fmt::format("bytes={}-{}", range.offset, range.offset + *range.length - 1);
  }
  for (int tries = 1;; ++tries) {
    CO_TRY(auto read, co_await core->read(op, get));
    const int status = read.answer.status();
    const bool wrong =
        read.ranged &&
        (status == 416 || (status == 206 && !part_of(read.answer.response, blob.size, range)));
    if (!wrong) co_return read;
    log::info("{}: {} answered {} with Content-Range \"{}\" to {}", doing,
              read.answer.url.authority(), status,
              printable(read.answer.response.headers.get("Content-Range").value_or(""), 100),
              get.range);
    if (tries < kRangeTries) continue;
    read.endpoint->quirks().ranges = false;
    co_await read.endpoint->remember_quirks(op);
  }
}

Task<Result<content::Source>> Repository::State::fetch_blob(rt::Op& op, oci::Descriptor blob,
                                                            content::ByteRange range) {
  const std::string what = shown(full_name(), blob.digest.string());
  const std::string doing = "cannot fetch " + what;
  if (range.offset > blob.size) {
    co_return fail(Code::kBadRange, "{}: the range begins at {} of {} bytes", doing, range.offset,
                   blob.size);
  }
  range.length = std::min(range.length.value_or(blob.size), blob.size - range.offset);
  content::Source source;
  source.size = blob.size;
  source.offset = range.offset;
  if (*range.length == 0 && blob.size != 0) {
    content::BytesFetcher nothing("");
    CO_TRY(content::Source empty, co_await nothing.fetch(op, blob, {}));
    source.reader = std::move(empty.reader);
    co_return source;
  }
  CO_TRY(auto read, co_await read_blob(op, blob, range, doing));
  const int status = read.answer.status();
  if (status != 200 && !(read.ranged && status == 206)) {
    co_return std::unexpected(co_await read.endpoint->error(op, doing, std::move(read.answer)));
  }
  if (status == 200) range = {.offset = 0, .length = blob.size};  // whatever was asked for
  source.offset = range.offset;
  const http::Headers& headers = read.answer.response.headers;
  const auto length = content_length(headers);
  if (status == 200 && length && *length != blob.size && !is_encoded(headers)) {
    co_return fail(Code::kCorrupt, "{}: the server offers {} bytes of {}", doing, *length,
                   blob.size);
  }
  const bool encoded = is_encoded(headers);
  CO_TRY(auto body, in_context(decoded(std::move(read.answer.response), blob.size, what), doing));
  if (!encoded && read.endpoint->quirks().ranges) source.lanes = read.endpoint->lanes();
  // A 206 of less than was asked for ends as one that is cut does: the rest is to be asked for.
  source.reader = exactly(paced(std::move(body), throttles(*read.endpoint)), *range.length, what);
  co_return source;
}

Task<Result<bool>> Repository::has(rt::Op& op, oci::Descriptor blob) {
  const bool manifest =
      oci::media::is_manifest(blob.media_type) || oci::media::is_index(blob.media_type);
  const std::string doing = "cannot look for " + shown(state_->full_name(), blob.digest.string());
  Call head = state_->call(
      doing, "HEAD", state_->name + (manifest ? "/manifests/" : "/blobs/") + blob.digest.string(),
      "pull");
  if (manifest) head.headers.set("Accept", blob.media_type);
  CO_TRY(Answer answer, co_await state_->origin().send(op, std::move(head)));
  if (answer.status() == 200) co_return true;
  if (answer.status() != 404)
    co_return std::unexpected(co_await state_->origin().error(op, doing, std::move(answer)));
  state_->absent.insert(blob.digest);
  co_return false;
}

Task<Result<std::optional<std::uint64_t>>> Repository::blob_size(rt::Op& op, oci::Digest digest) {
  const std::string what = shown(state_->full_name(), digest.string());
  const std::string doing = "cannot look for " + what;
  RegistryCore::ReadCall head{.doing = doing,
                              .method = "HEAD",
                              .path = state_->name + "/blobs/" + digest.string(),
                              .repository = state_->name,
                              .on_wait = state_->manner.on_wait};
  head.headers.set("Accept-Encoding", "identity");
  CO_TRY(auto read, co_await state_->core->read(op, std::move(head)));
  const int status = read.answer.status();
  if (status == 404) co_return std::nullopt;
  if (status != 200)
    co_return std::unexpected(co_await read.endpoint->error(op, doing, std::move(read.answer)));
  const http::Headers& headers = read.answer.response.headers;
  const auto size = content_length(headers);
  if (!size || is_encoded(headers))
    co_return fail(Code::kCorrupt, "{}: {} does not say how long it is", doing, what);
  co_return size;
}

Throttles Repository::State::throttles(const Endpoint& endpoint) const {
  Throttles all = endpoint.throttles();
  if (own_throttle) all.push_back(own_throttle);
  return all;
}

void Repository::set_manner(Manner manner) {
  state_->manner = std::move(manner);
  const std::uint64_t rate = state_->manner.limit_rate;
  state_->own_throttle =
      rate == 0 ? nullptr : std::make_shared<Throttle>(rate, state_->core->options().retry);
}

Task<Status> Repository::State::put_blob(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                                         content::Progress& progress) {
  const std::string doing = fmt::format("cannot push {} to {}", blob.digest.string(), full_name());
  if (absent.erase(blob.digest) == 0) {
    Call head = call(doing, "HEAD", name + "/blobs/" + blob.digest.string(), "pull,push");
    CO_TRY(const Answer answer, co_await origin().send(op, std::move(head)));
    if (answer.status() == 200) co_return Status();
  }
  std::optional<UploadSession> session;
  if (auto opened = sessions.extract(blob.digest)) session = std::move(opened.mapped());
  Upload upload(origin(), blob, from, progress,
                {.repository = name,
                 .doing = doing,
                 .chunk_bytes = core->options().chunk_bytes,
                 .retry = core->options().retry,
                 .first_byte = core->options().first_byte,
                 .throttles = throttles(origin()),
                 .journal = core->options().journal,
                 .journal_from = core->options().journal_from});
  CO_TRY_OK(co_await upload.run(op, std::move(session)));
  acknowledged.insert(blob.digest);
  co_return Status();
}

Task<Result<bool>> Repository::mount(rt::Op& op, oci::Descriptor blob,
                                     std::string from_repository) {
  if (!oci::is_repository(from_repository) || from_repository == state_->name) co_return false;
  const std::string doing = fmt::format("cannot mount {} from {} in {}", blob.digest.string(),
                                        from_repository, state_->full_name());
  const std::string query =
      fmt::format("mount={}&from={}", http::percent_encode(blob.digest.string()),
                  http::percent_encode(from_repository));
  Call post = upload_call(state_->origin(), state_->name, query, doing);
  post.scopes.add(ScopeSet::repository(from_repository, "pull"));
  CO_TRY(Answer answer, co_await state_->origin().send(op, std::move(post)));
  const int status = answer.status();
  if (status == 201) {
    state_->absent.erase(blob.digest);
    co_await drain(op, std::move(answer.response));
    co_return true;
  }
  if (status == 202) {  // an upload was opened instead: put() goes on with it
    CO_TRY(UploadSession session, session_of(state_->origin(), answer));
    state_->sessions.insert_or_assign(blob.digest, std::move(session));
    co_return false;
  }
  // A mount that is refused is no reason to fail a push: the bytes are sent instead, and if that is
  // not allowed it will say so.
  if (status >= 400 && status < 500) co_return false;
  co_return std::unexpected(co_await state_->origin().error(op, doing, std::move(answer)));
}

}  // namespace berth::remote
