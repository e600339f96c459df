#include "store/intake.h"

#include <numeric>

#include "oci/media_types.h"
#include "store/receiver.h"

namespace berth::store {
namespace {

// Whether what was received so far may be continued after this failure: it broke off, but nothing
// says that it is wrong.
bool may_continue(Code code) {
  switch (code) {
    case Code::kUnavailable:
    case Code::kTimeout:
    case Code::kCancelled:
    case Code::kRateLimited:
    case Code::kUnauthenticated:
    case Code::kDenied:
    case Code::kNotFound:
      return true;
    default:
      return false;
  }
}

// One blob on its way in.
class Intake {
 public:
  Intake(Desk& desk, Settler& settler, oci::Descriptor blob, IntakeOptions options)
      : desk_(desk),
        settler_(settler),
        blob_(std::move(blob)),
        options_(std::move(options)),
        folder_(Layout::ingest_name(blob_.digest)),
        unit_bytes_(content::Plan::unit_bytes_for(blob_.size)) {}

  Task<Status> run(rt::Op& op, content::Fetcher& from, content::Progress& progress) {
    const Status done = co_await fill(op, from, progress);
    const bool keep = !done && may_continue(done.error().code());
    const Status cleared =
        co_await rt::blocking(desk_.loop(), [this, keep] { return keep ? Status() : clear(); });
    co_return done ? cleared : done;
  }

 private:
  std::string data_name() const { return folder_ + "/data"; }

  Task<Status> fill(rt::Op& op, content::Fetcher& from, content::Progress& progress) {
    CO_TRY_OK(co_await rt::blocking(desk_.loop(), [this] { return open(); }));
    const bool resumed = held() > 0;
    Status done = co_await receive(op, from, progress);
    // What an earlier try left may have been wrong: once from the start.
    if (!done && resumed && done.error().code() == Code::kDigestMismatch) {
      CO_TRY_OK(co_await rt::blocking(desk_.loop(), [this] { return restart(); }));
      done = co_await receive(op, from, progress);
    }
    co_return done ? co_await commit_file(op) : done;
  }

  std::uint64_t held() const {
    return std::accumulate(journal_->held().begin(), journal_->held().end(), std::uint64_t{0});
  }

  // Where the last byte that the journal tells of must end.
  std::uint64_t held_end() const {
    std::uint64_t end = 0;
    for (std::size_t unit = 0; unit < journal_->held().size(); ++unit) {
      if (journal_->held()[unit] > 0) end = unit * unit_bytes_ + journal_->held()[unit];
    }
    return end;
  }

  // Blocking.
  Status open() {
    const fs::Dir& root = desk_.layout().root();
    TRY_OK(root.make_subdir(folder_));
    TRY(file_, root.open_or_create(data_name()));
    TRY(const fs::FileInfo info, file_.info());
    TRY_OK(check_room(info.blocks * 512));
    TRY(Journal journal, Journal::open(root, folder_ + "/journal", blob_, unit_bytes_));
    journal_.emplace(std::move(journal));
    // A process that died when the file had its name, and not its row, has left the journal alone.
    if (info.size < held_end()) TRY_OK(restart());
    if (held() == 0 && info.size > 0) TRY_OK(file_.truncate(0));
    return file_.allocate(blob_.size);
  }

  // The announced size is only a claim, but what is announced must fit.
  Status check_room(std::uint64_t allocated) {
    TRY(const std::uint64_t free, desk_.layout().root().free_bytes());
    const std::uint64_t room = free - std::min(free, options_.disk_reserve);
    if (blob_.size <= room || blob_.size - room <= allocated) return {};
    return fail(Code::kExhausted, "no room for {} ({}) in {}: only {} are free; {}",
                blob_.digest.short_hex(), format_size(blob_.size), desk_.layout().root().path(),
                format_size(room), options_.advice);
  }

  Status restart() {
    TRY_OK(file_.truncate(0));
    return journal_->reset();
  }

  Status tell_readers() {
    if (options_.readers == nullptr) return {};
    return options_.readers->opened(file_, journal_->held(), unit_bytes_);
  }

  Status clear() { return desk_.layout().root().remove_tree(folder_); }

  Task<Status> receive(rt::Op& op, content::Fetcher& from, content::Progress& progress) {
    CO_TRY_OK(tell_readers());
    Receiver receiver(desk_.loop(), file_, *journal_, blob_, unit_bytes_, options_.readers);
    CO_TRY(const oci::Digest got, co_await receiver.run(op, from, progress));
    if (got == blob_.digest) {
      if (options_.readers != nullptr) options_.readers->verified();
      co_return Status();
    }
    co_return fail(Code::kDigestMismatch,
                   "what came for {} has the digest {}: it was damaged or forged on its way",
                   blob_.digest.string(), got.string());
  }

  Task<Status> commit_file(rt::Op& op) {
    CO_TRY(const bool taken, co_await settler_.settle(
                                 op, file_, {.blob = blob_, .file = data_name()}, options_.also));
    (void)taken;
    co_return Status();
  }

  Desk& desk_;
  Settler& settler_;
  oci::Descriptor blob_;
  IntakeOptions options_;
  std::string folder_;
  std::uint64_t unit_bytes_;
  fs::File file_;
  std::optional<Journal> journal_;
};

Status write_whole(const Layout& layout, const std::string& folder, fs::File& file,
                   const std::string& bytes) {
  TRY_OK(layout.root().make_subdir(folder));
  TRY(file, layout.root().open_or_create(folder + "/data"));
  TRY_OK(file.truncate(0));
  return file.write_at(0, as_bytes(bytes));
}

Task<Status> take_verified(rt::Op& op, Desk& desk, Settler& settler, Arrival arrival,
                           const std::string& bytes) {
  const std::string folder = Layout::ingest_name(arrival.blob.digest);
  arrival.file = folder + "/data";
  fs::File file;
  Status done = co_await rt::blocking(
      desk.loop(), [&] { return write_whole(desk.layout(), folder, file, bytes); });
  if (done) {
    const auto taken = co_await settler.settle(op, file, std::move(arrival));
    if (!taken) done = std::unexpected(taken.error());
  }
  const Status cleared =
      co_await rt::blocking(desk.loop(), [&] { return desk.layout().root().remove_tree(folder); });
  co_return done ? cleared : done;
}

}  // namespace

Task<Status> take_in(rt::Op& op, Desk& desk, Settler& settler, oci::Descriptor blob,
                     content::Fetcher& from, content::Progress& progress, IntakeOptions options) {
  Intake intake(desk, settler, std::move(blob), std::move(options));
  co_return co_await intake.run(op, from, progress);
}

Task<Status> take_bytes(rt::Op& op, Desk& desk, Settler& settler, oci::Descriptor blob,
                        std::string bytes, std::set<oci::Digest> unwanted) {
  if (bytes.size() != blob.size ||
      oci::Digest::of(as_bytes(bytes), blob.digest.algorithm()) != blob.digest) {
    co_return fail(Code::kDigestMismatch, "the bytes for {} are not what their digest says",
                   blob.digest.string());
  }
  Arrival arrival{.blob = std::move(blob), .file = {}, .unwanted = std::move(unwanted)};
  CO_TRY(arrival.children, oci::children(bytes, arrival.blob.media_type));
  co_return co_await take_verified(op, desk, settler, std::move(arrival), bytes);
}

}  // namespace berth::store
