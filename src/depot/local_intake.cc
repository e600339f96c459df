#include "depot/local_intake.h"

#include "base/assert.h"
#include "depot/local_blobs.h"
#include "rt/async.h"

namespace berth::depot {
namespace {

class LocalArriving : public Arriving {
 public:
  LocalArriving(rt::Loop& loop, oci::Descriptor blob)
      : growing(std::make_shared<store::GrowingBlob>(loop, std::move(blob))) {}

  const oci::Descriptor& blob() const override { return growing->blob(); }
  rt::Task<Status> begun(rt::Op& op) override { co_return co_await growing->begun(op); }
  std::unique_ptr<rt::Reader> read(std::uint64_t offset, std::uint64_t length) override {
    return growing->reader(offset, length);
  }
  void give_up(Error why) override { growing->give_up(std::move(why)); }

  std::shared_ptr<store::GrowingBlob> growing;
};

Result<std::optional<std::uint64_t>> size_by_manifests(Database& database,
                                                       const std::string& repository,
                                                       const oci::Digest& digest) {
  TRY(const auto id, repository_id(database, repository));
  if (!id) return std::nullopt;
  TRY(Rows rows,
      database.query("SELECT e.size FROM edges e JOIN manifests m ON m.digest = e.parent "
                     "AND m.repository = ? WHERE e.child = ? LIMIT 1",
                     *id, digest.string()));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  return static_cast<std::uint64_t>(rows.integer(0));
}

// What tidies up unfinished uploads goes by the folder's time, which a file that grows does not
// change.
Status touch(const fs::Dir& root, const oci::Digest& digest) {
  const std::string name = store::Layout::ingest_name(digest) + "/touch";
  TRY_OK(root.make_subdir(store::Layout::ingest_name(digest)));
  TRY(const fs::File made, root.open_or_create(name));
  return root.remove(name);
}

}  // namespace

rt::Task<Result<std::optional<std::uint64_t>>> LocalIntake::named_size(rt::Op& op,
                                                                       std::string repository,
                                                                       oci::Digest digest) {
  co_return co_await shelf_.read(
      op, [&](Database& database) { return size_by_manifests(database, repository, digest); });
}

std::shared_ptr<Arriving> LocalIntake::announce(oci::Descriptor blob) {
  return std::make_shared<LocalArriving>(shelf_.loop(), std::move(blob));
}

rt::Task<Status> LocalIntake::take_in(rt::Op& op, std::string repository,
                                      std::shared_ptr<Arriving> announced, content::Fetcher& from,
                                      content::Progress& progress) {
  const auto arriving = std::dynamic_pointer_cast<LocalArriving>(announced);
  BERTH_ASSERT(arriving != nullptr);  // announce() of another depot
  const oci::Descriptor blob = arriving->blob();
  CO_TRY_OK(
      co_await rt::blocking(shelf_.loop(), [&] { return touch(shelf_.root(), blob.digest); }));
  store::IntakeOptions options{
      .also = [repository, digest = blob.digest](Database& database) -> Status {
        TRY(const std::int64_t id, make_repository(database, repository));
        return add_member(database, id, digest);
      },
      .readers = arriving->growing.get(),
      .disk_reserve = disk_reserve_,
      .advice = "free some space, or ask the registry's operator"};
  const Status done = co_await shelf_.take_in(op, blob, from, progress, std::move(options));
  shelf_.blobs.erase(Shelf::key(repository, blob.digest.string()));
  co_return done;
}

}  // namespace berth::depot
