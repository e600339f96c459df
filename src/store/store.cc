#include "store/store.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "oci/media_types.h"
#include "store/adopt.h"
#include "store/blobs.h"
#include "store/collector.h"
#include "store/desk.h"
#include "store/file_reader.h"
#include "store/fsck.h"
#include "store/index_view.h"
#include "store/intake.h"
#include "store/models.h"
#include "store/settings.h"

namespace berth::store {
namespace {

constexpr auto kRelaxed = Catalog::Durability::kRelaxed;
constexpr auto kFull = Catalog::Durability::kFull;
constexpr auto kIndexPause = std::chrono::milliseconds(10);

bool is_document(const oci::Descriptor& blob) {
  return oci::media::is_manifest(blob.media_type) || oci::media::is_index(blob.media_type);
}

// A store in a folder that this user cannot write is opened for reading.
Layout::Access access_of(const Store::Options& options) {
  if (options.read_only) return Layout::Access::kReadOnly;
  const bool exists =
      ::faccessat(AT_FDCWD, (options.root + "/oci-layout").c_str(), F_OK, AT_EACCESS) == 0;
  const bool writable = ::faccessat(AT_FDCWD, options.root.c_str(), W_OK, AT_EACCESS) == 0;
  return exists && !writable ? Layout::Access::kReadOnly : Layout::Access::kReadWrite;
}

// Found out when the store is opened, not in the middle of a pull.
Status check_locks(const Layout& layout) {
  TRY(const auto lock, DigestLock::try_acquire(layout.root(), oci::Digest::of({})));
  return {};
}

Result<content::Source> open_blob(rt::Loop& loop, const Layout& layout, const oci::Digest& digest,
                                  content::ByteRange range) {
  auto file = layout.root().open_read(Layout::blob_name(digest));
  if (!file && file.error().code() == Code::kNotFound) {
    return fail(Code::kNotFound, "the blob {} is not in the store", digest.string());
  }
  if (!file) return std::unexpected(file.error());
  TRY(const fs::FileInfo info, file->info());
  if (range.offset > info.size || (range.offset == info.size && range.offset > 0)) {
    return fail(Code::kBadRange, "{} has {} bytes, none from {}", digest.string(), info.size,
                range.offset);
  }
  const std::uint64_t left = info.size - range.offset;
  const int again = ::fcntl(file->fd(), F_DUPFD_CLOEXEC, 0);
  if (again < 0) return fail_errno(errno, fmt::format("cannot open {} twice", file->name()));
  fs::File reading(UniqueFd(again), file->name());
  content::Source source;
  source.size = info.size;
  source.offset = range.offset;
  source.reader = make_file_reader(loop, std::move(reading), range.offset,
                                   std::min(left, range.length.value_or(left)));
  source.file = file->take();
  return source;
}

std::string trash_name(Session& session) {
  return fmt::format("{}/trash-{}-{}", kIngestFolder, session.id(), session.next_number++);
}

}  // namespace

std::string_view to_string(Adopted::Way way) {
  switch (way) {
    case Adopted::Way::kReflinked:
      return "reflinked";
    case Adopted::Way::kCopied:
      return "copied";
    case Adopted::Way::kLinked:
      return "linked";
    case Adopted::Way::kAlreadyHere:
      return "already here";
  }
  return "copied";
}

struct Store::Parts {
  Parts(rt::Loop& loop, std::shared_ptr<const Layout> layout, std::shared_ptr<Catalog> catalog,
        oci::ReferenceDefaults reference_defaults)
      : desk(loop, std::move(layout), std::move(catalog)),
        settler(desk),
        defaults(std::move(reference_defaults)) {}

  // Looks for the blob and, while a transfer lease lives, protects it: in this order in one
  // transaction nobody can take it away in between.
  Task<Result<Presence>> touch(rt::Op& op, oci::Descriptor blob, std::set<oci::Digest> unwanted) {
    const auto session = desk.session_if_any();
    if (!session || session->transfers.empty()) {
      co_return co_await desk.read(op, [this, blob, unwanted](Database& database) {
        return presence(database, desk.layout(), blob, unwanted);
      });
    }
    co_return co_await desk.write(
        op, kRelaxed,
        [this, blob, unwanted, id = session->id(),
         leases = session->transfers](Database& database) -> Result<Presence> {
          TRY_OK(hold(database, id, leases, blob.digest));
          return presence(database, desk.layout(), blob, unwanted);
        });
  }

  // As touch, but a link that was touched is looked at: kHere or kAbsent.
  Task<Result<bool>> is_here(rt::Op& op, oci::Descriptor blob,
                             std::set<oci::Digest> unwanted = {}) {
    CO_TRY(const Presence found, co_await touch(op, blob, std::move(unwanted)));
    if (found != Presence::kSuspect) co_return found == Presence::kHere;
    const Status intact = co_await check_link(op, desk, blob.digest);
    if (!intact && intact.error().code() != Code::kCorrupt)
      co_return std::unexpected(intact.error());
    co_return intact.has_value();
  }

  Task<Status> put_document(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                            std::set<oci::Digest> unwanted = {}) {
    CO_TRY(std::string bytes, co_await content::read_small(op, from, blob, oci::kMaxManifestBytes));
    co_return co_await take_bytes(op, desk, settler, std::move(blob), std::move(bytes),
                                  std::move(unwanted));
  }

  // Collects in one transaction what `choose` names, then empties the trash.
  template <class Choose>
  Task<Result<Freed>> sweep(rt::Op& op, DryRun dry_run, Choose choose) {
    CO_TRY(const auto session, co_await desk.session(op));
    const std::string trash = trash_name(*session);
    auto work = [session, dry_run, choose](Database& database) -> Result<Freed> {
      TRY_OK(session->flush(database));
      return choose(database, dry_run);
    };
    if (dry_run == DryRun::kYes) co_return co_await desk.rehearse(op, work);
    CO_TRY_OK(co_await rt::blocking(desk.loop(), [this, &trash]() -> Status {
      TRY(const fs::Dir made, desk.layout().root().make_subdir(trash));
      return {};
    }));
    auto freed = co_await desk.write(op, kFull, work);
    BERTH_FAILPOINT("store.collect.before_bury");
    Status buried;
    if (freed) {
      buried = co_await desk.write(op, kRelaxed, [this, blobs = freed->blobs, trash](Database& db) {
        return bury(db, desk.layout(), blobs, trash);
      });
    }
    BERTH_FAILPOINT("store.collect.before_trash");
    const Status emptied = co_await rt::blocking(
        desk.loop(), [this, &trash] { return desk.layout().root().remove_tree(trash); });
    if (freed && !buried) co_return std::unexpected(buried.error());
    if (freed && !emptied) co_return std::unexpected(emptied.error());
    co_return freed;
  }

  Task<Result<Freed>> sweep_ingests(rt::Op& op, Freed freed, std::chrono::seconds older_than,
                                    DryRun dry_run) {
    CO_TRY_OK(op.check());
    CO_TRY(const Freed more, co_await rt::blocking(desk.loop(), [this, older_than, dry_run] {
             return collect_ingests(desk.layout(), older_than, dry_run);
           }));
    freed.ingests = more.ingests;
    freed.bytes += more.bytes;
    co_return freed;
  }

  Desk desk;
  Settler settler;
  oci::ReferenceDefaults defaults;
};

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(rt::Loop& loop, Options options) {
  TRY(Layout opened, Layout::open(options.root, access_of(options)));
  auto layout = std::make_shared<const Layout>(std::move(opened));
  if (layout->access() == Layout::Access::kReadWrite) TRY_OK(check_locks(*layout));
  TRY(std::unique_ptr<Catalog> catalog, Catalog::open(*layout));
  return std::unique_ptr<Store>(new Store(std::make_unique<Parts>(
      loop, layout, std::shared_ptr<Catalog>(std::move(catalog)), options.defaults)));
}

const std::string& Store::root() const { return parts_->desk.layout().root().path(); }
bool Store::read_only() const {
  return parts_->desk.layout().access() == Layout::Access::kReadOnly;
}

// --- content::Target

Task<Result<content::Source>> Store::fetch(rt::Op& op, oci::Descriptor blob,
                                           content::ByteRange range) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(parts_->desk.loop(), [this, &blob, range] {
    return open_blob(parts_->desk.loop(), parts_->desk.layout(), blob.digest, range);
  });
}

Task<Result<bool>> Store::has(rt::Op& op, oci::Descriptor blob) {
  co_return co_await parts_->is_here(op, std::move(blob));
}

Task<Status> Store::put(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                        content::Progress& progress) {
  CO_TRY_OK(parts_->desk.catalog().check_writable());
  CO_TRY(bool here, co_await parts_->is_here(op, blob));
  if (here) co_return Status();
  CO_TRY(const DigestLock lock, co_await parts_->desk.lock(op, blob.digest));
  // Whoever held the lock may have brought it.
  CO_TRY(here, co_await parts_->is_here(op, blob));
  if (here) co_return Status();
  if (is_document(blob)) co_return co_await parts_->put_document(op, std::move(blob), from);
  co_return co_await take_in(op, parts_->desk, parts_->settler, std::move(blob), from, progress);
}

Task<Result<bool>> Store::has_without(rt::Op& op, oci::Descriptor manifest,
                                      std::set<oci::Digest> unwanted) {
  co_return co_await parts_->is_here(op, std::move(manifest), std::move(unwanted));
}

Task<Status> Store::put_without(rt::Op& op, oci::Descriptor manifest, content::Fetcher& from,
                                std::set<oci::Digest> unwanted) {
  CO_TRY_OK(parts_->desk.catalog().check_writable());
  CO_TRY(const DigestLock lock, co_await parts_->desk.lock(op, manifest.digest));
  CO_TRY(const bool here, co_await parts_->is_here(op, manifest, unwanted));
  if (here) co_return Status();
  co_return co_await parts_->put_document(op, std::move(manifest), from, std::move(unwanted));
}

Task<Result<std::set<oci::Digest>>> Store::left_out(rt::Op& op, oci::Digest manifest) {
  co_return co_await parts_->desk.read(
      op, [manifest](Database& database) { return left_out_of(database, manifest); });
}

Task<Result<oci::Descriptor>> Store::put_bytes(rt::Op& op, std::string media_type,
                                               std::string bytes) {
  CO_TRY_OK(parts_->desk.catalog().check_writable());
  const oci::Descriptor blob = oci::describe(bytes, media_type);
  CO_TRY(bool here, co_await parts_->is_here(op, blob));
  if (here) co_return blob;
  CO_TRY(const DigestLock lock, co_await parts_->desk.lock(op, blob.digest));
  CO_TRY(here, co_await parts_->is_here(op, blob));
  if (!here)
    CO_TRY_OK(co_await take_bytes(op, parts_->desk, parts_->settler, blob, std::move(bytes)));
  co_return blob;
}

Task<Result<oci::Descriptor>> Store::resolve(rt::Op& op, oci::Reference reference) {
  CO_TRY(const auto row,
         co_await parts_->desk.read(
             op, [reference](Database& database) -> Result<std::optional<oci::Descriptor>> {
               std::optional<oci::Digest> digest = reference.digest;
               if (!digest) {
                 TRY(const auto tag, find_tag(database, reference));
                 if (!tag) return std::nullopt;
                 digest = tag->target;
               }
               TRY(const auto found, find_row(database, *digest));
               if (!found || !found->document) return std::nullopt;
               return oci::Descriptor{
                   .media_type = found->media_type, .digest = *digest, .size = found->size};
             }));
  if (row) co_return *row;
  const std::string name = reference.familiar(parts_->defaults);
  co_return fail(Code::kNotFound, "no model {} here; get it with: berth pull {}", name, name);
}

Task<Status> Store::tag(rt::Op& op, oci::Descriptor manifest, oci::Reference reference) {
  co_return co_await parts_->desk.write(op, kFull, [this, manifest, reference](Database& database) {
    return set_tag(database, parts_->desk.layout(), manifest, reference);
  });
}

// --- local files

Task<Result<Adopted>> Store::adopt(rt::Op& op, std::string path, Adoption mode,
                                   content::Progress& progress) {
  CO_TRY_OK(parts_->desk.catalog().check_writable());
  CO_TRY(const Adopted adopted,
         co_await adopt_file(op, parts_->desk, parts_->settler, std::move(path), mode, progress));
  CO_TRY(const bool here,
         co_await parts_->is_here(op, {.digest = adopted.digest, .size = adopted.size}));
  if (here) co_return adopted;
  co_return fail(Code::kConflict, "another process removed {} while it was taken in: try again",
                 adopted.digest.string());
}

Task<Status> Store::check_linked(rt::Op& op, oci::Digest blob) {
  co_return co_await check_link(op, parts_->desk, std::move(blob));
}

Task<Status> Store::check_model(rt::Op& op, oci::Digest manifest) {
  CO_TRY(const auto blobs, co_await parts_->desk.read(op, [manifest](Database& database) {
    return closure(database, {manifest});
  }));
  for (const oci::Digest& blob : blobs) CO_TRY_OK(co_await check_link(op, parts_->desk, blob));
  co_return Status();
}

Task<Result<std::string>> Store::path(rt::Op& op, oci::Digest blob) {
  CO_TRY_OK(op.check());
  CO_TRY(const auto info, co_await rt::blocking(parts_->desk.loop(), [this, &blob] {
           return parts_->desk.layout().find_blob(blob);
         }));
  if (!info) co_return fail(Code::kNotFound, "the blob {} is not in the store", blob.string());
  co_return root() + "/" + Layout::blob_name(blob);
}

// --- models

Task<Result<std::vector<Record>>> Store::list(rt::Op& op) {
  co_return co_await parts_->desk.read(op,
                                       [](Database& database) { return list_models(database); });
}

Task<Result<std::optional<Found>>> Store::find(rt::Op& op, oci::ModelName name) {
  co_return co_await parts_->desk.read(op, [this, name](Database& database) {
    return find_by_name(database, name, parts_->defaults);
  });
}

Task<Status> Store::set_selected(rt::Op& op, oci::Digest index, oci::Digest manifest) {
  co_return co_await parts_->desk.write(op, kFull, [this, index, manifest](Database& database) {
    return select_model(database, parts_->desk.layout(), index, manifest);
  });
}

Task<Status> Store::set_metadata(rt::Op& op, oci::Digest id, std::string metadata) {
  co_return co_await parts_->desk.write(op, kRelaxed, [id, metadata](Database& database) {
    return set_model_metadata(database, id, metadata);
  });
}

Task<Result<Untagged>> Store::untag(rt::Op& op, oci::Reference reference) {
  co_return co_await parts_->desk.write(op, kFull, [this, reference](Database& database) {
    return remove_tag(database, parts_->desk.layout(), reference);
  });
}

Task<Result<Freed>> Store::remove(rt::Op& op, oci::Digest id) {
  co_return co_await parts_->sweep(
      op, DryRun::kNo, [this, id](Database& database, DryRun dry_run) -> Result<Freed> {
        const Layout& layout = parts_->desk.layout();
        TRY(const auto roots, remove_model(database, layout, id));
        TRY(const auto candidates, closure(database, roots));
        TRY(Freed freed, collect(database, layout, candidates, dry_run));
        freed.models.push_back(id);
        return freed;
      });
}

Task<Result<Freed>> Store::prune(rt::Op& op, PruneOptions options) {
  CO_TRY(Freed freed, co_await parts_->sweep(
                          op, options.dry_run,
                          [this, options](Database& database, DryRun dry_run) -> Result<Freed> {
                            const Layout& layout = parts_->desk.layout();
                            std::vector<oci::Digest> removed;
                            if (options.untagged_models == Untagging::kRemove) {
                              TRY(removed,
                                  remove_models(database, layout, Which::kUntagged, dry_run));
                            }
                            TRY(Freed result, collect(database, layout, std::nullopt, dry_run));
                            result.models = std::move(removed);
                            return result;
                          }));
  co_return co_await parts_->sweep_ingests(op, std::move(freed), options.partials_older_than,
                                           options.dry_run);
}

Task<Result<Freed>> Store::purge(rt::Op& op) {
  CO_TRY(Freed freed,
         co_await parts_->sweep(
             op, DryRun::kNo, [this](Database& database, DryRun dry_run) -> Result<Freed> {
               const Layout& layout = parts_->desk.layout();
               TRY(auto removed, remove_models(database, layout, Which::kAll, dry_run));
               TRY(Freed result, collect(database, layout, std::nullopt, dry_run));
               result.models = std::move(removed);
               return result;
             }));
  co_return co_await parts_->sweep_ingests(op, std::move(freed), std::chrono::seconds(0),
                                           DryRun::kNo);
}

// --- leases

Task<Result<Lease>> Store::lease(rt::Op& op, Lease::Kind kind, std::vector<oci::Digest> digests) {
  CO_TRY_OK(parts_->desk.catalog().check_writable());
  CO_TRY(const auto session, co_await parts_->desk.session(op));
  const std::int64_t number = session->next_number++;
  CO_TRY_OK(co_await parts_->desk.write(
      op, kRelaxed, [session, number, kind, digests](Database& database) -> Status {
        TRY_OK(session->flush(database));
        return insert_lease(database, session->id(), number, kind, digests);
      }));
  if (kind == Lease::Kind::kTransfer) session->transfers.push_back(number);
  co_return Lease(session, number);
}

Task<Result<bool>> Store::in_use(rt::Op& op, oci::Digest digest) {
  const auto session = parts_->desk.session_if_any();
  auto look = [this, digest](Database& database) {
    return is_running(database, parts_->desk.layout(), digest);
  };
  if (!session) co_return co_await parts_->desk.read(op, look);
  co_return co_await parts_->desk.write(op, kRelaxed,
                                        [session, look](Database& database) -> Result<bool> {
                                          TRY_OK(session->flush(database));
                                          return look(database);
                                        });
}

// --- settings

Task<Result<std::optional<std::string>>> Store::setting(rt::Op& op, std::string name_space,
                                                        std::string key) {
  co_return co_await parts_->desk.read(op, [name_space, key](Database& database) {
    return read_setting(database, name_space, key);
  });
}

Task<Result<std::vector<std::pair<std::string, std::string>>>> Store::settings(
    rt::Op& op, std::string name_space) {
  co_return co_await parts_->desk.read(
      op, [name_space](Database& database) { return list_settings(database, name_space); });
}

Task<Status> Store::set_setting(rt::Op& op, std::string name_space, std::string key,
                                std::string value) {
  co_return co_await parts_->desk.write(op, kFull, [name_space, key, value](Database& database) {
    return write_setting(database, name_space, key, value);
  });
}

Task<Status> Store::erase_setting(rt::Op& op, std::string name_space, std::string key) {
  co_return co_await parts_->desk.write(op, kFull, [name_space, key](Database& database) {
    return store::erase_setting(database, name_space, key);
  });
}

// --- the whole

Task<Result<CheckReport>> Store::check(rt::Op& op, CheckOptions options,
                                       content::Progress& progress) {
  co_return co_await check_store(op, parts_->desk, options, progress);
}

Task<Status> Store::set_aside(rt::Op& op, oci::Descriptor blob) {
  co_return co_await store::set_aside(op, parts_->desk, std::move(blob));
}

Task<Status> Store::mend(rt::Op& op, std::vector<Finding> findings) {
  CO_TRY_OK(co_await mend_records(op, parts_->desk, std::move(findings)));
  co_return co_await write_index(op);
}

Task<Result<Usage>> Store::usage(rt::Op& op) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(parts_->desk.loop(),
                                  [this] { return parts_->desk.layout().usage(); });
}

Task<Status> Store::write_index(rt::Op& op) {
  CO_TRY_OK(parts_->desk.catalog().check_writable());
  const Layout& layout = parts_->desk.layout();
  for (;;) {
    CO_TRY(const auto lock, co_await rt::blocking(parts_->desk.loop(), [&layout] {
             return fs::Lock::try_acquire(layout.root(), "locks/index", fs::Lock::Mode::kExclusive);
           }));
    if (!lock) {
      CO_TRY_OK(co_await rt::sleep_for(op, kIndexPause));
      continue;
    }
    // Read under the lock: the last writer writes the newest state.
    CO_TRY(const std::string view, co_await parts_->desk.read(op, [](Database& database) {
      return make_index_view(database);
    }));
    co_return co_await rt::blocking(parts_->desk.loop(),
                                    [&layout, &view] { return write_index_view(layout, view); });
  }
}

}  // namespace berth::store
