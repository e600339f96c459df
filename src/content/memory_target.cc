#include "content/memory_target.h"

namespace berth::content {

rt::Task<Result<Source>> MemoryTarget::fetch(rt::Op& op, oci::Descriptor blob, ByteRange range) {
  ++fetches;
  const auto at = blobs_.find(blob.digest);
  if (at == blobs_.end())
    co_return fail(Code::kNotFound, "no blob {} in memory", blob.digest.string());
  BytesFetcher bytes(at->second);
  co_return co_await bytes.fetch(op, std::move(blob), range);
}

rt::Task<Result<bool>> MemoryTarget::has(rt::Op&, oci::Descriptor blob) {
  co_return blobs_.contains(blob.digest);
}

rt::Task<Status> MemoryTarget::put(rt::Op& op, oci::Descriptor blob, Fetcher& from, Progress&) {
  CO_TRY(std::string bytes, co_await read_small(op, from, blob, std::uint64_t{1} << 30));
  CO_TRY(const auto below, oci::children(bytes, blob.media_type));
  for (const oci::Descriptor& child : below) {
    if (!blobs_.contains(child.digest)) {
      co_return fail(Code::kInvalid, "{} names {}, which is not here", blob.digest.string(),
                     child.digest.string());
    }
  }
  blobs_[blob.digest] = std::move(bytes);
  co_return Status();
}

rt::Task<Result<oci::Descriptor>> MemoryTarget::resolve(rt::Op&, oci::Reference reference) {
  const auto at = tags_.find(reference.string());
  if (at == tags_.end()) co_return fail(Code::kNotFound, "no {} in memory", reference.string());
  co_return at->second;
}

rt::Task<Status> MemoryTarget::tag(rt::Op&, oci::Descriptor manifest, oci::Reference reference) {
  if (!blobs_.contains(manifest.digest))
    co_return fail(Code::kNotFound, "no {}", manifest.digest.string());
  tags_.insert_or_assign(reference.string(), std::move(manifest));
  co_return Status();
}

oci::Descriptor MemoryTarget::add(std::string bytes, std::string_view media_type) {
  oci::Descriptor descriptor = oci::describe(bytes, media_type);
  blobs_[descriptor.digest] = std::move(bytes);
  return descriptor;
}

}  // namespace berth::content
