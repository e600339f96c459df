#include "local/unpackaged.h"

#include "fs/file.h"
#include "local/file_reader.h"
#include "rt/async.h"

namespace berth::local {
namespace {

constexpr std::size_t kHashBuffer = 4 * 1024 * 1024;

// Reads [offset, …) of a local file on the pool.
}  // namespace

void Unpackaged::add_document(std::string bytes) {
  documents_[oci::Digest::of(as_bytes(bytes))] = std::move(bytes);
}

rt::Task<Result<content::Source>> Unpackaged::fetch(rt::Op& op, oci::Descriptor blob,
                                                    content::ByteRange range) {
  if (const auto document = documents_.find(blob.digest); document != documents_.end()) {
    content::BytesFetcher bytes(document->second);
    co_return co_await bytes.fetch(op, std::move(blob), range);
  }
  const auto file = files_.find(blob.digest);
  if (file == files_.end()) co_return co_await store_.fetch(op, std::move(blob), range);
  co_return open(file->second, blob.size, range);
}

Result<content::Source> Unpackaged::open(const std::string& path, std::uint64_t size,
                                         content::ByteRange range) {
  TRY(fs::File file, fs::open_user_file(path));
  TRY(const fs::FileInfo info, file.info());
  if (info.size != size) return fail(Code::kCorrupt, "{} changed while it was being sent", path);
  if (range.offset > size)
    return fail(Code::kBadRange, "{} ends before byte {}", path, range.offset);
  const std::uint64_t end = range.length ? std::min(size, range.offset + *range.length) : size;
  content::Source source{.size = size, .offset = range.offset};
  source.reader = std::make_unique<FileReader>(loop_, std::move(file), range.offset, end);
  return source;
}

Result<model::StoredFile> hash_file(const std::string& path) {
  TRY(const fs::File file, fs::open_user_file(path));
  crypto::Hasher hasher(crypto::Algorithm::kSha256);
  std::vector<std::byte> buffer(kHashBuffer);
  std::uint64_t size = 0;
  while (true) {
    TRY(const std::size_t count, file.read_at(size, buffer));
    if (count == 0) break;
    hasher.update(Bytes(buffer).first(count));
    size += count;
  }
  return model::StoredFile{oci::Digest::from_hash(crypto::Algorithm::kSha256, hasher.finish()),
                           size};
}

}  // namespace berth::local
