// Uploads: end-4 to end-6, end-11, end-13 and end-14, and the pieces of Ollama's push (facts/oci.md
// B4; its server/upload.go and x/transfer/upload.go).
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

// Ollama's client takes a Location for an absolute address.
std::string upload_location(const Context& context, const Call& call, std::string_view id) {
  const std::string origin =
      is_ollama(call.request) ? context.gate.origin_of(call.request) : std::string();
  return fmt::format("{}/v2/{}/blobs/uploads/{}", origin, call.place.repository, id);
}

// Where an upload is. What holds nothing says 0-0, as every registry does.
Response progress(int status, const Context& context, const Call& call, std::string_view id,
                  std::uint64_t held) {
  Response response{.status = status};
  response.headers.set("Location", upload_location(context, call, id));
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
    for (const auto& [name, value] :
         progress(416, context, call, call.place.reference, **held).headers)
      refusal.headers.set(name, value);
  }
  co_return refusal;
}

rt::SteadyTime now() { return std::chrono::steady_clock::now(); }

void goes_on(const Context& context, const Call& call) {
  context.gate.limits().upload_goes_on(call.place.reference, now());
}

// Makes the upload a blob. With a failure that is no gap it is over as well.
rt::Task<Response> end_upload(rt::Op& op, Context& context, const std::string& repository,
                              const std::string& id, const oci::Digest& digest) {
  const Status done = co_await context.depot.uploads.finish(op, repository, id, digest);
  if (done || done.error().code() != Code::kBadRange) context.gate.limits().upload_ended(id);
  if (!done) co_return refuse(done.error(), kUnknown, kInvalid);
  co_return created(blob_location(repository, digest), digest);
}

// Reading the source is what it takes. Without one any repository would do, and whether the caller
// may read that one is not known: only an open registry looks.
bool may_mount(const Context& context, const Call& call, const std::string& from) {
  if (from.empty()) return context.gate.is_open();
  return oci::is_repository(from) && call.caller.of(from).allows(guard::Action::kPull);
}

// What came is kept where it can be; what cannot fit is not read.
rt::Task<Result<std::uint64_t>> append(rt::Op& op, Context& context, const Call& call,
                                       const std::string& id, std::optional<std::uint64_t> from,
                                       http::Reader& body) {
  depot::Uploads& uploads = context.depot.uploads;
  if (const auto length = call.request.body.length) {
    CO_TRY_OK(co_await uploads.check_room(op, call.place.repository, from.value_or(0) + *length));
  }
  co_return co_await uploads.append(op, call.place.repository, id, from, body);
}

rt::Task<Result<Response>> take_whole(rt::Op& op, Context& context, Call call, std::string id,
                                      oci::Digest digest) {
  depot::Uploads& uploads = context.depot.uploads;
  const std::string& repository = call.place.repository;
  if (http::Reader* body = reader_of(call.request)) {
    const auto held = co_await append(op, context, call, id, std::nullopt, *body);
    if (!held) {
      (void)co_await uploads.cancel(op, repository, id);
      context.gate.limits().upload_ended(id);
      co_return refuse(held.error(), kUnknown, kInvalid);
    }
  }
  co_return co_await end_upload(op, context, repository, id, digest);
}

// A client that can send pieces beside each other says so: "1" by PATCH, which is answered with an
// address that takes the piece without credentials; "2" by POST, with a digest and no body.
std::string_view redirects(const Request& request) {
  return request.headers.get("X-Redirect-Uploads").value_or("");
}

rt::Task<Result<Response>> send_elsewhere(rt::Op& op, Context& context, Call call,
                                          std::uint64_t begin, std::uint64_t length) {
  const std::string& id = call.place.reference;
  CO_TRY(const auto pieces, co_await context.depot.uploads.pieces(op, call.place.repository, id));
  if (!pieces) co_return refuse(404, kUnknown, "there is no such upload: begin a new one");
  const Status fits =
      co_await context.depot.uploads.check_room(op, call.place.repository, begin + length);
  if (!fits) co_return refuse(fits.error(), kUnknown, kInvalid);
  Response response{.status = 307};
  response.headers.set("Location", context.gate.piece_address(
                                       call.request, {.begin = begin, .end = begin + length}));
  response.headers.set("Docker-Upload-Location", upload_location(context, call, id));
  co_return response;
}

// PUT ?piece=FIRST-LAST
rt::Task<Result<Response>> take_piece(rt::Op& op, Context& context, Call call, std::string range) {
  const auto span = parse_chunk_range(range);
  http::Reader* body = reader_of(call.request);
  if (!span || body == nullptr || call.request.body.length != span->end - span->begin) {
    co_return refuse(
        400, "SIZE_INVALID",
        fmt::format("\"{}\" is no range of the bytes that come with it", printable(range, 60)));
  }
  goes_on(context, call);
  const Status done = co_await context.depot.uploads.put_piece(
      op, call.place.repository, call.place.reference, span->begin, span->end, *body);
  if (!done) co_return refuse(done.error(), kUnknown, kInvalid);
  co_return Response{.status = 201};
}

// "<MD5 of the pieces' MD5s>-<number of pieces>". What they are the digest tells better, but not
// how many there should be: a push that lost its last one is told so and goes on.
rt::Task<Result<std::optional<Response>>> check_pieces(rt::Op& op, Context& context,
                                                       const Call& call) {
  const std::string etag = call.query("etag").value_or("");
  const std::size_t dash = etag.rfind('-');
  const auto expected = dash == std::string::npos ? std::nullopt : parse_u64(etag.substr(dash + 1));
  if (!expected) co_return std::nullopt;
  CO_TRY(const auto held,
         co_await context.depot.uploads.pieces(op, call.place.repository, call.place.reference));
  // None: it came in order.
  if (!held || *held == 0 || *held >= *expected) co_return std::nullopt;
  co_return refuse(416, kInvalid,
                   fmt::format("{} of {} pieces are here: send the others, then end the upload "
                               "again",
                               *held, *expected));
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
  // With a digest and without a body it asks whether the blob is here.
  if (digest && redirects(call.request) == "2" && reader_of(call.request) == nullptr) {
    CO_TRY(const auto size, co_await context.depot.blobs.find_blob(op, repository, *digest));
    if (size) co_return created(blob_location(repository, *digest), *digest);
    digest.reset();
  }
  const Status may_begin = context.gate.limits().check_uploads(call.client, now());
  if (!may_begin) co_return refuse(may_begin.error(), kUnknown, kInvalid);
  const auto id = co_await context.depot.uploads.begin(op, repository);
  if (!id) co_return refuse(id.error(), kUnknown, kInvalid);
  context.gate.limits().upload_began(call.client, *id, now());
  if (digest) co_return co_await take_whole(op, context, std::move(call), *id, *digest);
  co_return progress(202, context, call, *id, 0);
}

rt::Task<Result<Response>> upload_status(rt::Op& op, Context& context, Call call) {
  CO_TRY(const auto held,
         co_await context.depot.uploads.held(op, call.place.repository, call.place.reference));
  if (!held) co_return refuse(404, kUnknown, "there is no such upload: begin a new one");
  co_return progress(204, context, call, call.place.reference, *held);
}

rt::Task<Result<Response>> upload_chunk(rt::Op& op, Context& context, Call call) {
  auto begin = begin_of(call);
  if (!begin) co_return std::move(begin.error());
  if (const auto length = call.request.body.length;
      redirects(call.request) == "1" && begin->at && length && *length > 0)
    co_return co_await send_elsewhere(op, context, std::move(call), *begin->at, *length);
  goes_on(context, call);
  http::Reader* body = reader_of(call.request);
  if (body == nullptr) co_return co_await upload_status(op, context, std::move(call));
  const auto held = co_await append(op, context, call, call.place.reference, begin->at, *body);
  if (!held) co_return co_await out_of_order(op, context, call, held.error());
  co_return progress(202, context, call, call.place.reference, *held);
}

rt::Task<Result<Response>> finish_upload(rt::Op& op, Context& context, Call call) {
  if (auto piece = call.query("piece"))
    co_return co_await take_piece(op, context, std::move(call), std::move(*piece));
  const auto wanted = call.query("digest");
  if (!wanted)
    co_return refuse(400, "DIGEST_INVALID", "?digest= is missing: it says what the blob is");
  auto digest = digest_of(*wanted);
  if (!digest) co_return std::move(digest.error());
  auto begin = begin_of(call);
  if (!begin) co_return std::move(begin.error());
  const std::string& repository = call.place.repository;
  if (http::Reader* body = reader_of(call.request)) {
    const auto held = co_await append(op, context, call, call.place.reference, begin->at, *body);
    if (!held) co_return co_await out_of_order(op, context, call, held.error());
  }
  CO_TRY(auto missing, co_await check_pieces(op, context, call));
  if (missing) co_return std::move(*missing);
  co_return co_await end_upload(op, context, repository, call.place.reference, *digest);
}

rt::Task<Result<Response>> cancel_upload(rt::Op& op, Context& context, Call call) {
  CO_TRY(const bool cancelled,
         co_await context.depot.uploads.cancel(op, call.place.repository, call.place.reference));
  if (!cancelled) co_return refuse(404, kUnknown, "there is no such upload");
  context.gate.limits().upload_ended(call.place.reference);
  co_return Response{.status = 204};
}

}  // namespace berth::registryd
