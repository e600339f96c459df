// Takes in the bytes of one blob as they arrive, in any order: they are written, noted in the
// journal, hashed in order and made durable along the way.
//
// Loop thread; the work is on the pool. What arrives in order is hashed from memory while it is
// written; what does not is read back from the page cache when its turn comes, so everything is
// hashed once. Failures: those of the source and of the file; nothing is verified here.
#pragma once

#include "content/download.h"
#include "crypto/hash.h"
#include "fs/file.h"
#include "rt/async.h"
#include "store/growing_blob.h"
#include "store/journal.h"

namespace berth::store {

class Receiver : public content::Sink {
 public:
  // What an earlier try left in the file is hashed too. `readers`, when there are any, are told
  // what came, and what they wait for is fetched first.
  Receiver(rt::Loop& loop, fs::File& file, Journal& journal, const oci::Descriptor& blob,
           std::uint64_t unit_bytes, GrowingBlob* readers = nullptr);

  // Fetches what is missing, and returns the digest of the whole.
  Task<Result<oci::Digest>> run(rt::Op& op, content::Fetcher& from, content::Progress& progress);

  Task<Status> write(rt::Op& op, std::uint64_t offset, Bytes bytes) override;

 private:
  Task<Status> fetch(rt::Op& op, content::Fetcher& from, content::Progress& progress);
  Task<Status> hash_behind(rt::Op& op);
  Task<Status> seal_along(rt::Op& op);
  Status keep(std::uint64_t offset, Bytes bytes, bool in_order);
  std::uint64_t prefix();

  rt::Loop& loop_;
  fs::File& file_;
  Journal& journal_;
  oci::Descriptor blob_;
  content::Plan plan_;
  crypto::Hasher hasher_;
  rt::Event moved_;
  Journal::Extents extents_;       // written
  std::uint64_t prefix_unit_ = 0;  // all units before it are whole
  std::uint64_t hashed_ = 0;       // from the start
  bool hashing_ = false;
  std::uint64_t unsealed_ = 0;  // bytes
  bool fetched_ = false;
  GrowingBlob* readers_;
};

}  // namespace berth::store
