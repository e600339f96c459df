// The journal of an ingest: how much of each unit of a blob is in the data file, so that whoever
// comes after a crash goes on from there.
//
// A small file beside the data. received() is called after the bytes were written: it outlives the
// process (kill -9) as the bytes do, in the page cache. seal() is called after the data file was
// synced: what it marks outlives a loss of power. After a restart of the machine only what was
// sealed counts. Nothing in it is trusted further than that: the digest of the whole blob decides.
//
// Blocking. received() may run on several threads at once, beside one seal(). Format:
// docs/dev/journal-format.md. Failures: kIo, kExhausted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/file.h"
#include "oci/manifest.h"

namespace berth::store {

class Journal {
 public:
  // What is held of each unit.
  using Extents = std::vector<std::uint64_t>;

  // Opens or begins the journal of `blob`. One that is torn, of another blob or of other units
  // begins anew: then nothing is held.
  static Result<Journal> open(const fs::Dir& root, const std::string& name,
                              const oci::Descriptor& blob, std::uint64_t unit_bytes);

  // What could be relied on when it was opened.
  const Extents& held() const { return held_; }

  Status received(std::uint64_t unit, std::uint64_t bytes);
  Status seal(const Extents& extents);
  // Nothing is held any more.
  Status reset();

 private:
  struct Header;
  struct Record;
  Journal(fs::File file, Header header);

  Result<bool> fits(const Header& header);
  Status begin(const Header& header);
  Status take_over(const Header& header);
  Status write_all();

  fs::File file_;
  Extents held_;
  Extents sealed_;
};

}  // namespace berth::store
