// Uploads: end-4 to end-6, end-11, end-13 and end-14.
#include "oci/reference.h"
#include "registryd/call.h"
#include "registryd/range.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kUnknown = "BLOB_UPLOAD_UNKNOWN";
constexpr std::string_view kInvalid = "BLOB_UPLOAD_INVALID";

std::string blob_location(const std::string& repository, const oci::Digest& digest) {
  return fmt::format("/v2/{}/blobs/{}", repository, digest.string());
}

// Where an upload is. What holds nothing says 0-0, as every registry does.
Response progress(int status, const Call& call, std::string_view id, std::uint64_t held) {
  Response response{.status = status};
  response.headers.set("Location",
                       fmt::format("/v2/{}/blobs/uploads/{}", call.place.repository, id));
  response.headers.set("Range", fmt::format("0-{}", held == 0 ? 0 : held - 1));
  response.headers.set("Docker-Upload-UUID", id.substr(0, id.find('.')));
  return response;
}

http::Reader* reader_of(Request& request) {
  const auto reader = std::get_if<std::unique_ptr<http::Reader>>(&request.body.content);
  return reader != nullptr ? reader->get() : nullptr;
}

struct Begin {
  std::optional<std::uint64_t> at;  // where the body says that it begins
};
// The chunk's range against what its length says.
std::expected<Begin, Response> begin_of(const Call& call) {
  const auto header = call.request.headers.get("Content-Range");
  if (!header) return Begin{};
  const auto range = parse_chunk_range(*header);
  const auto length = call.request.body.length;
  if (range && (!length || *length == range->end - range->begin)) return Begin{range->begin};
  return std::unexpected(
      refuse(400, "SIZE_INVALID",
             fmt::format("Content-Range \"{}\" is no range of the bytes that come with it",
                         printable(*header, 60))));
}

// A chunk in the wrong place is refused and told where the upload is.
rt::Task<Response> out_of_order(rt::Op& op, Context& context, const Call& call,
                                const Error& error) {
  Response refusal = refuse(error, kUnknown, kInvalid);
  const auto held =
      co_await context.depot.uploads.held(op, call.place.repository, call.place.reference);
  if (held && *held) {
    for (const auto& [name, value] : progress(416, call, call.place.reference, **held).headers)
      refusal.headers.set(name, value);
  }
  co_return refusal;
}

// Reading the source is what it takes. Without one any repository would do, and whether the caller
// may read that one is not known: only an open registry looks.
bool may_mount(const Context& context, const Call& call, const std::string& from) {
  if (from.empty()) return context.gate.is_open();
  return oci::is_repository(from) && call.caller.of(from).allows(guard::Action::kPull);
}

rt::Task<Result<Response>> take_whole(rt::Op& op, Context& context, Call call, std::string id,
                                      oci::Digest digest) {
  depot::Uploads& uploads = context.depot.uploads;
  const std::string& repository = call.place.repository;
  if (http::Reader* body = reader_of(call.request)) {
    const auto held = co_await uploads.append(op, repository, id, std::nullopt, *body);
    if (!held) {
      (void)co_await uploads.cancel(op, repository, id);
      co_return refuse(held.error(), kUnknown, kInvalid);
    }
  }
  const Status done = co_await uploads.finish(op, repository, id, digest);
  if (!done) co_return refuse(done.error(), kUnknown, kInvalid);
  co_return created(blob_location(repository, digest), digest);
}

}  // namespace

rt::Task<Result<Response>> start_upload(rt::Op& op, Context& context, Call call) {
  const std::string repository = call.place.repository;
  if (const auto mount = call.query("mount")) {
    auto digest = digest_of(*mount);
    if (!digest) co_return std::move(digest.error());
    const std::string from = call.query("from").value_or("");
    if (may_mount(context, call, from)) {
      CO_TRY(const bool mounted, co_await context.depot.blobs.mount(op, repository, *digest, from));
      if (mounted) co_return created(blob_location(repository, *digest), *digest);
    }
  }
  const auto wanted = call.query("digest");
  std::optional<oci::Digest> digest;
  if (wanted) {
    auto parsed = digest_of(*wanted);
    if (!parsed) co_return std::move(parsed.error());
    digest = std::move(*parsed);
  }
  const auto id = co_await context.depot.uploads.begin(op, repository);
  if (!id) co_return refuse(id.error(), kUnknown, kInvalid);
  if (digest) co_return co_await take_whole(op, context, std::move(call), *id, *digest);
  co_return progress(202, call, *id, 0);
}

rt::Task<Result<Response>> upload_status(rt::Op& op, Context& context, Call call) {
  CO_TRY(const auto held,
         co_await context.depot.uploads.held(op, call.place.repository, call.place.reference));
  if (!held) co_return refuse(404, kUnknown, "there is no such upload: begin a new one");
  co_return progress(204, call, call.place.reference, *held);
}

rt::Task<Result<Response>> upload_chunk(rt::Op& op, Context& context, Call call) {
  auto begin = begin_of(call);
  if (!begin) co_return std::move(begin.error());
  depot::Uploads& uploads = context.depot.uploads;
  http::Reader* body = reader_of(call.request);
  if (body == nullptr) co_return co_await upload_status(op, context, std::move(call));
  const auto held =
      co_await uploads.append(op, call.place.repository, call.place.reference, begin->at, *body);
  if (!held) co_return co_await out_of_order(op, context, call, held.error());
  co_return progress(202, call, call.place.reference, *held);
}

rt::Task<Result<Response>> finish_upload(rt::Op& op, Context& context, Call call) {
  const auto wanted = call.query("digest");
  if (!wanted)
    co_return refuse(400, "DIGEST_INVALID", "?digest= is missing: it says what the blob is");
  auto digest = digest_of(*wanted);
  if (!digest) co_return std::move(digest.error());
  auto begin = begin_of(call);
  if (!begin) co_return std::move(begin.error());
  depot::Uploads& uploads = context.depot.uploads;
  const std::string& repository = call.place.repository;
  if (http::Reader* body = reader_of(call.request)) {
    const auto held =
        co_await uploads.append(op, repository, call.place.reference, begin->at, *body);
    if (!held) co_return co_await out_of_order(op, context, call, held.error());
  }
  const Status done = co_await uploads.finish(op, repository, call.place.reference, *digest);
  if (!done) co_return refuse(done.error(), kUnknown, kInvalid);
  co_return created(blob_location(repository, *digest), *digest);
}

rt::Task<Result<Response>> cancel_upload(rt::Op& op, Context& context, Call call) {
  CO_TRY(const bool cancelled,
         co_await context.depot.uploads.cancel(op, call.place.repository, call.place.reference));
  if (!cancelled) co_return refuse(404, kUnknown, "there is no such upload");
  co_return Response{.status = 204};
}

}  // namespace berth::registryd
