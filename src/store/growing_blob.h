// A blob on its way in, for those who read it before it is whole.
//
// Loop thread. Made by whoever expects the blob and filled by one take_in() (intake.h). What is
// read was not verified yet, so the last bytes (kHeldBack) are kept from every reader until the
// digest was right: nobody can take a wrong blob for a whole one. A reader that has to wait says
// for what, and that is fetched first. Failures of reading: what give_up() was told;
// kDigestMismatch when what was read so far turned out wrong; kCancelled and kTimeout by the Op.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "fs/file.h"
#include "oci/manifest.h"
#include "rt/async.h"
#include "rt/reader.h"
#include "store/journal.h"

namespace berth::store {

class GrowingBlob : public std::enable_shared_from_this<GrowingBlob> {
 public:
  GrowingBlob(rt::Loop& loop, oci::Descriptor blob)
      : loop_(loop), blob_(std::move(blob)), changed_(loop) {}

  const oci::Descriptor& blob() const { return blob_; }

  // --- who fills it ---
  // Bytes begin to come into this file, which has some already. Again: what was there before was
  // wrong, and who read it is cut off.
  Status opened(const fs::File& file, Journal::Extents held, std::uint64_t unit_bytes);
  void landed(std::uint64_t unit, std::uint64_t held);
  void verified();
  // Whoever waits and whoever comes gets this. The first one counts; after verified() none does.
  void give_up(Error why);
  // Called with an offset that somebody waits for.
  void when_wanted(std::function<void(std::uint64_t)> wanted) { wanted_ = std::move(wanted); }

  // --- who reads ---
  // Until there is something to read.
  Task<Status> begun(rt::Op& op);
  std::unique_ptr<rt::Reader> reader(std::uint64_t offset, std::uint64_t length);

  static constexpr std::uint64_t kHeldBack = 64 * 1024;

 private:
  class BlobReader;

  // Bytes in a row from there that may be read now.
  std::uint64_t available(std::uint64_t offset) const;

  rt::Loop& loop_;
  oci::Descriptor blob_;
  rt::Event changed_;
  std::shared_ptr<const fs::File> file_;  // shared by reads on the pool
  Journal::Extents held_;
  std::uint64_t unit_bytes_ = 0;
  unsigned generation_ = 0;  // counts openings
  bool verified_ = false;
  std::optional<Error> failure_;
  std::function<void(std::uint64_t)> wanted_;
};

}  // namespace berth::store
