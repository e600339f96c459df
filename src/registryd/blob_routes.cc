// Blobs: end-2 and end-10.
#include "registryd/call.h"
#include "registryd/range.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

Response unknown(const oci::Digest& digest) {
  return refuse(404, "BLOB_UNKNOWN",
                fmt::format("there is no blob {} in this repository", digest.string()));
}

Response bare(int status, const oci::Digest& digest) {
  Response response{.status = status};
  response.headers.set("Content-Type", "application/octet-stream");
  response.headers.set(kDigestHeader, digest.string());
  response.headers.set("ETag", etag_of(digest));
  response.headers.set("Accept-Ranges", "bytes");
  return response;
}

// A blob never changes, so If-Range is true of the same one only.
std::string_view range_asked(const Request& request, const oci::Digest& digest) {
  const auto condition = request.headers.get("If-Range");
  if (condition && *condition != etag_of(digest)) return {};
  return request.headers.get("Range").value_or("");
}

Response unsatisfiable(const oci::Digest& digest, std::uint64_t size) {
  Response response =
      refuse(416, "SIZE_INVALID",
             fmt::format("the range lies outside the {} bytes of {}", size, digest.string()));
  response.headers.set("Content-Range", fmt::format("bytes */{}", size));
  return response;
}

Response head_of_blob(const Request& request, const oci::Digest& digest, std::uint64_t size) {
  const RangeAnswer range = parse_range(range_asked(request, digest), size);
  if (range.kind == RangeAnswer::Kind::kUnsatisfiable) return unsatisfiable(digest, size);
  const bool part = range.kind == RangeAnswer::Kind::kPart;
  const ByteSpan span = part ? range.span : ByteSpan{.begin = 0, .end = size};
  Response response = bare(part ? 206 : 200, digest);
  if (part) {
    response.headers.set("Content-Range",
                         fmt::format("bytes {}-{}/{}", span.begin, span.end - 1, size));
  }
  response.headers.set("Content-Length", fmt::format("{}", span.end - span.begin));
  return response;
}

Response whole_or_part(const Request& request, const oci::Digest& digest, depot::OpenBlob blob) {
  const RangeAnswer range = parse_range(range_asked(request, digest), blob.size);
  Response response = head_of_blob(request, digest, blob.size);
  if (response.status == 416) return response;
  response.headers.remove("Content-Length");  // the body's
  const ByteSpan span =
      range.kind == RangeAnswer::Kind::kPart ? range.span : ByteSpan{.begin = 0, .end = blob.size};
  const std::uint64_t length = span.end - span.begin;
  response.body = blob.arriving
                      ? http::Body(blob.arriving->read(span.begin, length), length)
                      : http::Body(http::FileRange{
                            .file = std::move(blob.file), .offset = span.begin, .length = length});
  return response;
}

}  // namespace

rt::Task<Result<Response>> get_blob(rt::Op& op, Context& context, Call call) {
  auto digest = digest_of(call.place.reference);
  if (!digest) co_return std::move(digest.error());
  if (has_it(call.request, *digest) || call.is_head()) {
    CO_TRY(const auto size,
           co_await context.depot.blobs.find_blob(op, call.place.repository, *digest));
    if (!size) co_return unknown(*digest);
    if (has_it(call.request, *digest)) co_return bare(304, *digest);
    co_return head_of_blob(call.request, *digest, *size);
  }
  CO_TRY(auto blob, co_await context.depot.blobs.open_blob(op, call.place.repository, *digest));
  if (!blob) co_return unknown(*digest);
  Response response = whole_or_part(call.request, *digest, std::move(*blob));
  // It looks for the place to fetch parts from, and sends no credentials there.
  if (is_ollama(call.request) && response.status == 200)
    response.headers.set("Location", context.gate.open_address(call.request));
  co_return response;
}

rt::Task<Result<Response>> delete_blob(rt::Op& op, Context& context, Call call) {
  auto digest = digest_of(call.place.reference);
  if (!digest) co_return std::move(digest.error());
  CO_TRY(const bool removed,
         co_await context.depot.blobs.remove_blob(op, call.place.repository, *digest));
  if (!removed) co_return unknown(*digest);
  co_return Response{.status = 202};
}

}  // namespace berth::registryd
