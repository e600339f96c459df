#include <algorithm>

#include "oci/media_types.h"
#include "remote/field.h"
#include "remote/repository_state.h"

namespace berth::remote {
namespace {

// Which part of the blob an answer holds. kCorrupt when what it says does not fit what was asked.
Result<content::ByteRange> body_range(const http::Response& response, std::uint64_t size,
                                      content::ByteRange asked, std::string_view doing) {
  const auto encoding = response.headers.get("Content-Encoding");
  if (encoding && !iequals(trim(*encoding), "identity")) {
    return fail(Code::kCorrupt, "{}: the server compressed it though it was asked not to", doing);
  }
  const auto length = content_length(response.headers);
  if (response.status == 200) {  // the whole, whatever was asked for
    if (length && *length != size)
      return fail(Code::kCorrupt, "{}: the server offers {} bytes of {}", doing, *length, size);
    return content::ByteRange{.offset = 0, .length = size};
  }
  const auto range = parse_content_range(response.headers.get("Content-Range").value_or(""));
  const std::uint64_t last = asked.offset + *asked.length - 1;
  const bool fits = range && range->first == asked.offset && range->last <= last &&
                    range->total.value_or(size) == size;
  const std::uint64_t got = fits ? range->last - range->first + 1 : 0;
  if (!fits || length.value_or(got) != got) {
    return fail(Code::kCorrupt, "{}: bytes {}-{} of {} were asked for and the server sent \"{}\"",
                doing, asked.offset, last, size,
                printable(response.headers.get("Content-Range").value_or(""), 100));
  }
  return content::ByteRange{.offset = range->first, .length = got};
}

class TextReader : public rt::Reader {
 public:
  explicit TextReader(std::string text) : text_(std::move(text)) {}
  Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
    const std::size_t count = std::min(into.size(), text_.size() - at_);
    std::ranges::copy(as_bytes(std::string_view(text_).substr(at_, count)), into.begin());
    at_ += count;
    co_return count;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

std::unique_ptr<rt::Reader> reader_of(http::Body body) {
  if (auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&body.content))
    return std::move(*reader);
  auto* text = std::get_if<std::string>(&body.content);
  return std::make_unique<TextReader>(text == nullptr ? "" : std::move(*text));
}

}  // namespace

Task<Result<content::Source>> Repository::State::fetch_blob(rt::Op& op, oci::Descriptor blob,
                                                            content::ByteRange range) {
  const std::string doing = "cannot fetch " + shown(full_name(), blob.digest.string());
  if (range.offset > blob.size) {
    co_return fail(Code::kBadRange, "{}: the range begins at {} of {} bytes", doing, range.offset,
                   blob.size);
  }
  range.length = std::min(range.length.value_or(blob.size), blob.size - range.offset);
  content::Source source;
  source.size = blob.size;
  source.offset = range.offset;
  if (*range.length == 0 && blob.size != 0) {
    source.reader = std::make_unique<TextReader>("");
    co_return source;
  }
  const bool part = *range.length != blob.size;
  RegistryCore::ReadCall get{
      .doing = doing, .path = name + "/blobs/" + blob.digest.string(), .repository = name};
  get.headers.set("Accept-Encoding", "identity");
  if (part)
    get.headers.set("Range",
                    fmt::format("bytes={}-{}", range.offset, range.offset + *range.length - 1));
  CO_TRY(auto read, co_await core->read(op, std::move(get)));
  const int status = read.answer.status();
  if (status != 200 && !(part && status == 206)) {
    co_return std::unexpected(co_await read.endpoint->error(op, doing, std::move(read.answer)));
  }
  CO_TRY(const content::ByteRange got, body_range(read.answer.response, blob.size, range, doing));
  source.offset = got.offset;
  source.lanes = read.endpoint->lanes();
  source.reader = exactly(reader_of(std::move(read.answer.response.body)), *got.length,
                          shown(full_name(), blob.digest.string()));
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
                 .retry = core->options().retry});
  co_return co_await upload.run(op, std::move(session));
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
