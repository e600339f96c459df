#include "depot/local_intake.h"

#include <cerrno>
#include <sys/stat.h>

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
  const auto folder = root.subdir(store::Layout::ingest_name(digest));
  if (!folder && folder.error().code() == Code::kNotFound) return {};
  if (!folder) return std::unexpected(folder.error());
  if (::futimens(folder->fd(), nullptr) == 0) return {};
  return fail_errno(errno, fmt::format("cannot touch {}", folder->path()));
}

// A failure of upstream stays what it is; one of the registry's own files names one of them.
Status told_apart(Status done, const fs::Dir& root) {
  if (done || done.error().message().find(root.path()) == std::string::npos) return done;
  return std::unexpected(of_disk(done.error()));
}

constexpr std::chrono::minutes kTouchEvery{1};

rt::Task<Status> keep_young(rt::Op& op, Shelf& shelf, oci::Digest digest) {
  do {
    CO_TRY_OK(co_await rt::blocking(shelf.loop(), [&] { return touch(shelf.root(), digest); }));
  } while (co_await rt::sleep_for(op, kTouchEvery));
  co_return Status();
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
  if (!shelf_.quotas().none()) {
    CO_TRY_OK(co_await shelf_.read(op, [&](Database& database) {
      return shelf_.quotas().check(database, repository, blob.size);
    }));
  }
  store::IntakeOptions options{.also =
                                   [this, repository, digest = blob.digest](Database& database) {
                                     return admit_member(database, shelf_.quotas(), repository,
                                                         digest);
                                   },
                               .readers = arriving->growing.get(),
                               .disk_reserve = disk_reserve_,
                               .advice = "free some space, or ask the registry's operator"};
  rt::Op until_done(op);
  rt::Scope beside(shelf_.loop());
  beside.spawn(keep_young(until_done, shelf_, blob.digest));
  Status done = co_await shelf_.take_in(op, blob, from, progress, std::move(options));
  until_done.cancel();
  (void)co_await beside.join();
  shelf_.blobs.erase(Shelf::key(repository, blob.digest.string()));
  co_return told_apart(std::move(done), shelf_.root());
}

}  // namespace berth::depot
