// What the parts of the local depot share: the folder, the catalogue (one connection that writes,
// one that reads and is never waited for), the settler and the caches.
//
// Loop thread but for what runs in a Work. One process has a depot open at a time (a lock), so what
// the caches hold is exact: every change goes through record() or settle() and is forgotten here
// when it is done.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "depot/depot.h"
#include "depot/lru.h"
#include "depot/quotas.h"
#include "fs/file.h"
#include "store/desk.h"
#include "store/intake.h"
#include "store/settler.h"

namespace berth::depot {

using store::Database;
using store::Rows;

class Shelf {
 public:
  // Blocking. kConflict when another process serves this folder; kInvalid when it holds something
  // else.
  static Result<std::unique_ptr<Shelf>> open(rt::Loop& loop, const std::string& root,
                                             std::chrono::milliseconds patience);

  rt::Loop& loop() { return loop_; }
  const store::Layout& layout() const { return *layout_; }
  const fs::Dir& root() const { return layout_->root(); }
  store::Settler& settler() { return settler_; }

  // One consistent state of the catalogue.
  template <class Work>
  rt::Task<std::invoke_result_t<Work, Database&>> read(rt::Op& op, Work work) {
    return unless_busy(reader_.read(op, std::move(work)));
  }
  // The same before anything is served. Blocking.
  template <class Work>
  Status write_now(Work work) {
    return writer_.catalog().write(store::Catalog::Durability::kFull, std::move(work));
  }
  const Quotas& quotas() const { return quotas_; }
  // Blocking.
  Status set_quotas(Quotas quotas);
  // Durable when it returns.
  rt::Task<Status> record(rt::Op& op, store::Settler::Work work);
  // A finished file becomes a blob; `also` happens with it. Durable when it returns. False when the
  // blob was here and the file is still the caller's.
  rt::Task<Result<bool>> settle(rt::Op& op, fs::File& file, store::Arrival arrival,
                                store::Settler::Work also);

  // Fetches a blob (store/intake.h).
  rt::Task<Status> take_in(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                           content::Progress& progress, store::IntakeOptions options);

  // Counts changes: what was read before one must not be remembered after it.
  std::uint64_t changes() const { return changes_; }
  static std::string key(std::string_view repository, std::string_view name) {
    std::string joined(repository);
    joined.push_back('\n');
    return joined.append(name);
  }
  Lru<oci::Digest> tags{kTagBytes};
  Lru<std::shared_ptr<const StoredManifest>> manifests{kManifestBytes};
  Lru<std::uint64_t> blobs{kBlobBytes};  // sizes
  Lru<std::int64_t> asked{kBlobBytes};   // when a blob was last told to be here
  Lru<std::int64_t> pulled{kTagBytes};   // when a manifest's last pull was written down

 private:
  Shelf(rt::Loop& loop, std::shared_ptr<const store::Layout> layout,
        std::shared_ptr<store::Catalog> writing, std::shared_ptr<store::Catalog> reading,
        fs::Lock lock, std::chrono::milliseconds patience);
  template <class T>
  static rt::Task<T> unless_busy(rt::Task<T> reading);

  static constexpr std::size_t kTagBytes = std::size_t{8} << 20;
  static constexpr std::size_t kManifestBytes = std::size_t{32} << 20;
  static constexpr std::size_t kBlobBytes = std::size_t{8} << 20;

  rt::Loop& loop_;
  std::shared_ptr<const store::Layout> layout_;
  Quotas quotas_;
  store::Desk writer_;
  store::Desk reader_;
  store::Settler settler_;
  fs::Lock lock_;
  std::uint64_t changes_ = 0;
};

// A fault of the registry's own files as its caller is told of it: none of his (kDenied, kNotFound
// and kConflict become kIo), and without their paths, which the log has. A catalogue that another
// program keeps locked is kIo as well, with the time after which one may ask again.
Error of_disk(const Error& error);
template <class T>
Result<T> of_disk(Result<T> result) {
  if (!result) return std::unexpected(of_disk(result.error()));
  return result;
}

template <class T>
rt::Task<T> Shelf::unless_busy(rt::Task<T> reading) {
  T done = co_await std::move(reading);
  if (!done && done.error().code() == Code::kTimeout)
    co_return std::unexpected(of_disk(done.error()));
  co_return done;
}

// Whether a blob's file is what its row says; the log tells of one that is not. Blocking.
Result<bool> is_whole(const Shelf& shelf, const oci::Digest& digest, std::uint64_t size);
void log_damage(const oci::Digest& digest);

// Rows that begin with a digest and a size.
struct StoredBlob {
  oci::Digest digest = oci::Digest::of({});
  std::uint64_t size = 0;
};
Result<std::vector<StoredBlob>> stored_blobs(Rows rows);

// Inside a transaction. nullopt: no such repository.
Result<std::optional<std::int64_t>> repository_id(Database& database, const std::string& name);
Result<std::int64_t> make_repository(Database& database, const std::string& name);
std::int64_t seconds_now();
// A file of the root with 256 random bits, made when it is not there. Blocking.
Result<std::string> secret(const Shelf& shelf, std::string_view name);

}  // namespace berth::depot
