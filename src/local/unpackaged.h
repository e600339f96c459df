// The artifact as it lies on the user's disk: files by digest, the two documents in hand, and the
// layers of --from in the store.
//
// Loop thread; the store must outlive it. A file is read when its turn comes; what changed in
// between is kCorrupt here by its size and at the destination by its digest.
#pragma once

#include <map>
#include <string>

#include "content/content.h"
#include "model/package.h"
#include "rt/loop.h"

namespace berth::local {

class Unpackaged : public content::Fetcher {
 public:
  Unpackaged(rt::Loop& loop, content::Fetcher& store) : loop_(loop), store_(store) {}

  void add_file(const oci::Digest& digest, std::string path) { files_[digest] = std::move(path); }
  void add_document(std::string bytes);

  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override;

 private:
  Result<content::Source> open(const std::string& path, std::uint64_t size,
                               content::ByteRange range);

  rt::Loop& loop_;
  content::Fetcher& store_;
  std::map<oci::Digest, std::string> files_;
  std::map<oci::Digest, std::string> documents_;
};

// One pass over a file for its digest. Blocking.
Result<model::StoredFile> hash_file(const std::string& path);

}  // namespace berth::local
