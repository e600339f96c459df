#include "store/intake.h"

#include <sys/stat.h>

#include "oci/media_types.h"
#include "store/file_pass.h"
#include "store/flow.h"

namespace berth::store {
namespace {

constexpr unsigned kBlobMode = 0444;

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
  Intake(Desk& desk, oci::Descriptor blob)
      : desk_(desk), blob_(std::move(blob)), folder_(Layout::ingest_name(blob_.digest)) {}

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
    Status done = co_await receive(op, from, progress);
    // What an earlier process left may have been wrong, or the server may not know how to go on:
    // once from the start.
    if (!done && resumed_ &&
        (done.error().code() == Code::kDigestMismatch || done.error().code() == Code::kBadRange)) {
      CO_TRY_OK(co_await rt::blocking(desk_.loop(), [this] { return restart(); }));
      done = co_await receive(op, from, progress);
    }
    co_return done ? co_await commit_file(op) : done;
  }

  // Blocking.
  Status open() {
    const fs::Dir& root = desk_.layout().root();
    TRY_OK(root.make_subdir(folder_));
    TRY(file_, root.open_or_create(data_name()));
    TRY(const fs::FileInfo info, file_.info());
    held_ = info.size;
    if (held_ > blob_.size) TRY_OK(restart());
    TRY_OK(check_room());
    resumed_ = held_ > 0;
    return file_.allocate(blob_.size);
  }

  // The announced size is only a claim, but what is announced must fit.
  Status check_room() {
    TRY(const std::uint64_t room, desk_.layout().root().free_bytes());
    if (blob_.size - held_ <= room) return {};
    return fail(Code::kExhausted,
                "no room for {} ({}) in {}: only {} are free; free some space, for example with: "
                "berth prune",
                blob_.digest.short_hex(), format_size(blob_.size), desk_.layout().root().path(),
                format_size(room));
  }

  Status restart() {
    held_ = 0;
    resumed_ = false;
    return file_.truncate(0);
  }

  Status clear() { return desk_.layout().root().remove_tree(folder_); }

  Task<Status> receive(rt::Op& op, content::Fetcher& from, content::Progress& progress) {
    crypto::Hasher hasher(blob_.digest.algorithm());
    CO_TRY_OK(co_await hash_held(op, hasher));
    if (held_ < blob_.size || held_ == 0)
      CO_TRY_OK(co_await receive_rest(op, from, progress, hasher));
    const oci::Digest got = oci::Digest::from_hash(blob_.digest.algorithm(), hasher.finish());
    if (got == blob_.digest) co_return Status();
    co_return fail(Code::kDigestMismatch,
                   "what came for {} has the digest {}: it was damaged or forged on its way",
                   blob_.digest.string(), got.string());
  }

  Task<Status> hash_held(rt::Op& op, crypto::Hasher& hasher) {
    if (held_ == 0) co_return Status();
    co_return co_await hash_file(op, desk_.loop(), file_, held_, hasher, {});
  }

  Task<Status> receive_rest(rt::Op& op, content::Fetcher& from, content::Progress& progress,
                            crypto::Hasher& hasher) {
    CO_TRY(const content::Source source, co_await from.fetch(op, blob_, {.offset = held_}));
    if (source.offset == 0 && held_ > 0) {
      // The peer knows no ranges: what is held is received again.
      CO_TRY_OK(co_await rt::blocking(desk_.loop(), [this] { return restart(); }));
      hasher = crypto::Hasher(blob_.digest.algorithm());
    } else if (source.offset != held_) {
      co_return fail(Code::kBadRange, "asked for {} from byte {}, but it came from byte {}",
                     blob_.digest.string(), held_, source.offset);
    }
    auto tell = [this, &progress](std::uint64_t at) {
      progress.on({.kind = content::Event::Kind::kBytes, .blob = blob_, .current = at});
    };
    CO_TRY(const std::uint64_t reached,
           co_await flow(op, desk_.loop(), *source.reader, &file_, hasher,
                         {.offset = held_, .end = blob_.size, .on_bytes = tell}));
    if (reached == blob_.size) co_return Status();
    co_return fail(Code::kUnavailable,
                   "{} ended after {} of {} bytes; the next try goes on from there",
                   blob_.digest.string(), reached, blob_.size);
  }

  Task<Status> commit_file(rt::Op& op) {
    CO_TRY(const bool taken,
           co_await settle(op, desk_, file_, {.blob = blob_, .file = data_name()}));
    (void)taken;
    co_return Status();
  }

  Desk& desk_;
  oci::Descriptor blob_;
  std::string folder_;
  fs::File file_;
  std::uint64_t held_ = 0;
  bool resumed_ = false;
};

Status write_whole(const Layout& layout, const std::string& folder, fs::File& file,
                   const std::string& bytes) {
  TRY_OK(layout.root().make_subdir(folder));
  TRY(file, layout.root().open_or_create(folder + "/data"));
  TRY_OK(file.truncate(0));
  return file.write_at(0, as_bytes(bytes));
}

Status finish_file(fs::File& file) {
  if (::fchmod(file.fd(), kBlobMode) != 0)
    return fail_errno(errno, fmt::format("cannot protect {}", file.name()));
  return file.sync();
}

Task<Status> take_verified(rt::Op& op, Desk& desk, const oci::Descriptor& blob,
                           const std::string& bytes, std::vector<oci::Descriptor> children) {
  const std::string folder = Layout::ingest_name(blob.digest);
  fs::File file;
  Status done = co_await rt::blocking(
      desk.loop(), [&] { return write_whole(desk.layout(), folder, file, bytes); });
  if (done) {
    const auto taken = co_await settle(
        op, desk, file, {.blob = blob, .file = folder + "/data", .children = std::move(children)});
    if (!taken) done = std::unexpected(taken.error());
  }
  const Status cleared =
      co_await rt::blocking(desk.loop(), [&] { return desk.layout().root().remove_tree(folder); });
  co_return done ? cleared : done;
}

}  // namespace

Task<Result<bool>> settle(rt::Op& op, Desk& desk, fs::File& file, Arrival arrival) {
  // A link keeps the mode that its owner gave it.
  const bool linked = arrival.link.has_value();
  CO_TRY_OK(
      co_await rt::blocking(desk.loop(), [&] { return linked ? file.sync() : finish_file(file); }));
  CO_TRY(const bool taken, co_await desk.write(op, Catalog::Durability::kRelaxed,
                                               [&desk, arrival](Database& database) {
                                                 return commit(database, desk.layout(), arrival);
                                               }));
  CO_TRY_OK(co_await rt::blocking(desk.loop(),
                                  [&] { return desk.layout().sync_blobs(arrival.blob.digest); }));
  co_return taken;
}

Task<Status> take_in(rt::Op& op, Desk& desk, oci::Descriptor blob, content::Fetcher& from,
                     content::Progress& progress) {
  Intake intake(desk, std::move(blob));
  co_return co_await intake.run(op, from, progress);
}

Task<Status> take_bytes(rt::Op& op, Desk& desk, oci::Descriptor blob, std::string bytes) {
  if (bytes.size() != blob.size ||
      oci::Digest::of(as_bytes(bytes), blob.digest.algorithm()) != blob.digest) {
    co_return fail(Code::kDigestMismatch, "the bytes for {} are not what their digest says",
                   blob.digest.string());
  }
  CO_TRY(auto children, oci::children(bytes, blob.media_type));
  co_return co_await take_verified(op, desk, blob, bytes, std::move(children));
}

}  // namespace berth::store
