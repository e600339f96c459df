#include "store/adopt.h"

#include <unistd.h>

#include "base/failpoint.h"
#include "oci/media_types.h"
#include "store/file_pass.h"
#include "store/intake.h"

namespace berth::store {
namespace {

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

class Adopting {
 public:
  Adopting(Desk& desk, Settler& settler, std::string path, Adoption mode)
      : desk_(desk), settler_(settler), path_(std::move(path)), mode_(mode) {}

  Task<Result<Adopted>> run(rt::Op& op, content::Progress& progress) {
    CO_TRY(const auto session, co_await desk_.session(op));
    folder_ = fmt::format("{}/new-{}-{}", kIngestFolder, session->id(), session->next_number++);
    Result<Adopted> result = co_await take(op, progress);
    const Status cleared = co_await rt::blocking(
        desk_.loop(), [this] { return desk_.layout().root().remove_tree(folder_); });
    if (result && !cleared) co_return std::unexpected(cleared.error());
    co_return result;
  }

 private:
  std::string data_name() const { return folder_ + "/data"; }

  Task<Result<Adopted>> take(rt::Op& op, content::Progress& progress) {
    CO_TRY_OK(co_await rt::blocking(desk_.loop(), [this] { return open(); }));
    BERTH_FAILPOINT("store.adopt.after_open");
    CO_TRY(const oci::Digest digest, co_await read(op, progress));
    BERTH_FAILPOINT("store.adopt.after_read");
    CO_TRY_OK(co_await rt::blocking(desk_.loop(), [this] { return check_still(); }));
    Arrival arrival{.blob = {.digest = digest, .size = before_.size}, .file = data_name()};
    if (way_ == Adopted::Way::kLinked) arrival.link = linked_file(path_, before_);
    CO_TRY(const bool taken, co_await settler_.settle(op, file_, std::move(arrival)));
    co_return Adopted{
        .digest = digest, .size = before_.size, .way = taken ? way_ : Adopted::Way::kAlreadyHere};
  }

  // Blocking.
  Status open() {
    const fs::Dir& root = desk_.layout().root();
    TRY(source_, fs::open_user_file(path_));
    TRY(before_, source_.info());
    TRY_OK(root.make_subdir(folder_));
    if (mode_ == Adoption::kLink) return link();
    TRY(file_, root.create_new(data_name()));
    TRY(const bool cloned, file_.clone_from(source_));
    way_ = cloned ? Adopted::Way::kReflinked : Adopted::Way::kCopied;
    if (cloned) return check_clone();
    TRY(const std::uint64_t room, root.free_bytes());
    if (before_.size > room) {
      return fail(Code::kExhausted,
                  "no room for a copy of {} ({}) in {}: only {} are free; with --link none is made",
                  printable(path_), format_size(before_.size), root.path(), format_size(room));
    }
    return file_.allocate(before_.size);
  }

  // What was shared may be newer than what was looked at.
  Status check_clone() {
    TRY(before_, file_.info());
    return {};
  }

  Status link() {
    const fs::Dir& root = desk_.layout().root();
    struct stat own = {};
    if (::fstat(root.fd(), &own) != 0)
      return fail_errno(errno, fmt::format("cannot look at {}", root.path()));
    if (before_.uid != ::geteuid()) {
      return fail(
          Code::kDenied,
          "{} belongs to another user, who could change the model: leave --link out to copy it",
          printable(path_));
    }
    if (before_.device != own.st_dev) {
      return fail(Code::kUnsupported,
                  "{} is on another file system than the store {}, so it cannot be linked: leave "
                  "--link out to copy it",
                  printable(path_), root.path());
    }
    TRY_OK(root.link_file(source_, data_name()));
    way_ = Adopted::Way::kLinked;
    TRY(file_, root.open_read(data_name()));
    // Giving it a second name has changed its ctime.
    TRY(before_, source_.info());
    return {};
  }

  Task<Result<oci::Digest>> read(rt::Op& op, content::Progress& progress) {
    oci::Descriptor shown{.size = before_.size};
    shown.annotations.emplace(oci::annotation::kTitle, base_name(path_));
    auto tell = [&progress, &shown](std::uint64_t at) {
      progress.on({.kind = content::Event::Kind::kBytes, .blob = shown, .current = at});
    };
    crypto::Hasher hasher(crypto::Algorithm::kSha256);
    if (way_ == Adopted::Way::kCopied) {
      CO_TRY_OK(
          co_await copy_and_hash(op, desk_.loop(), source_, file_, before_.size, hasher, tell));
    } else {
      // A clone is read in place of the original: what was hashed is what is kept, whatever happens
      // to the other.
      CO_TRY_OK(co_await hash_file(op, desk_.loop(), file_, before_.size, hasher, tell));
    }
    co_return oci::Digest::from_hash(crypto::Algorithm::kSha256, hasher.finish());
  }

  // Blocking. A clone cannot have changed.
  Status check_still() {
    if (way_ == Adopted::Way::kReflinked) return {};
    TRY(const fs::FileInfo info, source_.info());
    if (info.size == before_.size && info.mtime_ns == before_.mtime_ns) return {};
    return changed();
  }

  std::unexpected<Error> changed() const {
    return fail(Code::kConflict,
                "{} changed while it was read: try again when nothing writes to it",
                printable(path_));
  }

  Desk& desk_;
  Settler& settler_;
  std::string path_;
  Adoption mode_;
  std::string folder_;
  fs::File source_;
  fs::File file_;
  fs::FileInfo before_;
  Adopted::Way way_ = Adopted::Way::kCopied;
};

struct LinkState {
  std::optional<LinkedFile> recorded;
  fs::FileInfo now;
};

Result<LinkState> link_state(Database& database, const Layout& layout, const oci::Digest& digest) {
  TRY(auto recorded, find_link(database, digest));
  if (!recorded) return LinkState{};
  TRY(const auto info, layout.find_blob(digest));
  if (!info) return fail(Code::kNotFound, "the blob {} is not in the store", digest.string());
  return LinkState{.recorded = std::move(recorded), .now = *info};
}

std::unexpected<Error> link_changed(const oci::Digest& digest, const LinkedFile& link) {
  return fail(Code::kCorrupt,
              "{} was packaged with --link as {} and has been changed since: restore the file, or "
              "package it again",
              printable(link.path), digest.short_hex());
}

}  // namespace

Task<Result<Adopted>> adopt_file(rt::Op& op, Desk& desk, Settler& settler, std::string path,
                                 Adoption mode, content::Progress& progress) {
  Adopting adopting(desk, settler, std::move(path), mode);
  co_return co_await adopting.run(op, progress);
}

Task<Status> check_link(rt::Op& op, Desk& desk, oci::Digest digest) {
  CO_TRY(const LinkState state, co_await desk.read(op, [&desk, digest](Database& database) {
    return link_state(database, desk.layout(), digest);
  }));
  if (!state.recorded || unchanged(*state.recorded, state.now)) co_return Status();
  if (state.recorded->size != state.now.size) co_return link_changed(digest, *state.recorded);
  // Touched, renamed or linked again: only its content tells.
  CO_TRY(fs::File file, co_await rt::blocking(desk.loop(), [&desk, &digest] {
           return desk.layout().root().open_read(Layout::blob_name(digest));
         }));
  crypto::Hasher hasher(digest.algorithm());
  CO_TRY_OK(co_await hash_file(op, desk.loop(), file, state.now.size, hasher, {}));
  if (oci::Digest::from_hash(digest.algorithm(), hasher.finish()) != digest) {
    co_return link_changed(digest, *state.recorded);
  }
  if (!desk.catalog().check_writable()) co_return Status();
  // The state from before the hash: what changed meanwhile is seen the next time.
  co_return co_await desk.write(
      op, Catalog::Durability::kRelaxed,
      [digest, link = linked_file(state.recorded->path, state.now)](Database& database) {
        return save_link(database, digest, link);
      });
}

}  // namespace berth::store
