#include "depot/shelf.h"

#include "base/log.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "depot/schema.h"
#include "store/schema.h"

namespace berth::depot {
namespace {

constexpr std::chrono::seconds kAskAgain{5};

// A registry's folder looks like a store's; the two must not take each other's blobs.
Status check_kind(const fs::Dir& root) {
  TRY(const auto models, root.find(store::kCatalogueFile));
  if (!models) return {};
  return fail(Code::kInvalid,
              "{} is a store of models, not a registry's folder: choose another one with --root",
              root.path());
}

// Without a catalogue nothing says which blobs are wanted: an empty one would have them all freed.
Status refuse_blobs(const store::Layout& layout) {
  TRY(const auto blobs, layout.list_blobs());
  if (blobs.empty()) return {};
  return fail(Code::kCorrupt,
              "{} holds {} blobs and no {} that knows them: put that back from a backup, or move "
              "the folder blobs away to begin with an empty registry",
              layout.root().path(), blobs.size(), kCatalogueFile);
}

// What fails although the work agreed is no refusal, however it is called. Both outlive the work.
store::Settler::Work noting(const store::Settler::Work& work, bool& refused) {
  return [&work, &refused](Database& database) -> Status {
    Status done = work ? work(database) : Status();
    refused = !done && done.error().code() != Code::kExhausted;
    return done;
  };
}

Status refuse_blobs_alone(const store::Layout& layout) {
  TRY(const auto catalogue, layout.root().find(kCatalogueFile));
  return catalogue ? Status() : refuse_blobs(layout);
}

}  // namespace

const store::Schema& schema() {
  static constexpr store::SchemaStep kSteps[] = {{.from = 1, .sql = kVersion2}};
  static const store::Schema schema{
      .file = kCatalogueFile,
      .version = kSchemaVersion,
      .tables = {store::kBlobTables, kTables, kVersion2},
      .steps = kSteps,
      .fill = [](Database&, const store::Layout& layout) { return refuse_blobs(layout); },
      .faults = {.damaged = "stop the registry and put it back from a backup; without it nobody "
                            "knows which blobs belong where",
                 .read_only = Code::kIo}};
  return schema;
}

Result<std::unique_ptr<Shelf>> Shelf::open(rt::Loop& loop, const std::string& root,
                                           std::chrono::milliseconds patience) {
  TRY(auto opened, store::Layout::open(root, store::Layout::Access::kReadWrite,
                                       {.kind = "registry", .chosen_with = "--root"}));
  const auto layout = std::make_shared<const store::Layout>(std::move(opened));
  TRY_OK(check_kind(layout->root()));
  TRY(auto lock,
      fs::Lock::try_acquire(layout->root(), "locks/registry", fs::Lock::Mode::kExclusive));
  if (!lock) {
    return fail(Code::kConflict,
                "another process serves the registry in {}: stop it, or choose another folder "
                "with --root",
                root);
  }
  // Before one is made, which a backup that is put back would not go with.
  TRY_OK(refuse_blobs_alone(*layout));
  TRY(std::shared_ptr<store::Catalog> writing, store::Catalog::open(*layout, schema()));
  TRY(std::shared_ptr<store::Catalog> reading, store::Catalog::open(*layout, schema()));
  return std::unique_ptr<Shelf>(
      new Shelf(loop, layout, std::move(writing), std::move(reading), std::move(*lock), patience));
}

Shelf::Shelf(rt::Loop& loop, std::shared_ptr<const store::Layout> layout,
             std::shared_ptr<store::Catalog> writing, std::shared_ptr<store::Catalog> reading,
             fs::Lock lock, std::chrono::milliseconds patience)
    : loop_(loop),
      layout_(std::move(layout)),
      writer_(loop, layout_, std::move(writing), patience),
      reader_(loop, layout_, std::move(reading), patience),
      settler_(writer_, store::Catalog::Durability::kFull),
      lock_(std::move(lock)) {}

Status Shelf::set_quotas(Quotas quotas) {
  quotas_ = std::move(quotas);
  return write_now([this](Database& database) { return quotas_.prepare(database); });
}

rt::Task<Status> Shelf::record(rt::Op& op, store::Settler::Work work) {
  bool refused = false;
  Status done = co_await settler_.record(op, noting(work, refused));
  ++changes_;
  co_return refused ? done : of_disk(done);
}

rt::Task<Result<bool>> Shelf::settle(rt::Op& op, fs::File& file, store::Arrival arrival,
                                     store::Settler::Work also) {
  bool refused = false;
  const auto done = co_await settler_.settle(op, file, std::move(arrival), noting(also, refused));
  ++changes_;
  co_return refused ? done : of_disk(done);
}

rt::Task<Status> Shelf::take_in(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                                content::Progress& progress, store::IntakeOptions options) {
  Status done = co_await store::take_in(op, writer_, settler_, std::move(blob), from, progress,
                                        std::move(options));
  ++changes_;
  co_return done;
}

Error of_disk(const Error& error) {
  switch (error.code()) {
    case Code::kExhausted:
      log::error("the registry ran out of something: {}", printable(error.message()));
      return Error(Code::kExhausted,
                   "the registry ran out of disk space, memory or open files, its log says which: "
                   "ask its operator");
    case Code::kDenied:
    case Code::kNotFound:
    case Code::kConflict:
      return Error(Code::kIo, error.message());
    case Code::kTimeout:
      log::warning("a request was not done: {}", printable(error.message()));
      return Error(Code::kIo,
                   "another program keeps the registry's catalogue locked: ask again, or ask its "
                   "operator")
          .with_retry_after(kAskAgain);
    default:
      return error;
  }
}

Result<std::vector<StoredBlob>> stored_blobs(Rows rows) {
  std::vector<StoredBlob> found;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return found;
    TRY(oci::Digest digest, store::stored_digest(rows.text(0)));
    found.push_back(
        {.digest = std::move(digest), .size = static_cast<std::uint64_t>(rows.integer(1))});
  }
}

Result<bool> is_whole(const Shelf& shelf, const oci::Digest& digest, std::uint64_t size) {
  TRY(const auto info, shelf.layout().find_blob(digest));
  if (info && info->is_regular && info->size == size) return true;
  log_damage(digest);
  return false;
}

void log_damage(const oci::Digest& digest) {
  log::error("the file of {} is missing or damaged: push it again, or restore it from a backup",
             digest.string());
}

Result<std::optional<std::int64_t>> repository_id(Database& database, const std::string& name) {
  TRY(Rows rows, database.query("SELECT id FROM repositories WHERE name = ?", name));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  return rows.integer(0);
}

Result<std::int64_t> make_repository(Database& database, const std::string& name) {
  TRY(const auto known, repository_id(database, name));
  if (known) return *known;
  TRY_OK(database.run("INSERT INTO repositories(name, created) VALUES(?, ?)", name, seconds_now()));
  TRY(const auto made, repository_id(database, name));
  return made.value();
}

Result<std::string> secret(const Shelf& shelf, std::string_view name) {
  TRY(const auto found, shelf.root().find(name));
  if (!found) TRY_OK(shelf.root().replace(name, crypto::random_hex(32)));
  return shelf.root().read_small(name, 4096);
}

std::int64_t seconds_now() {
  return static_cast<std::int64_t>(store::now().time_since_epoch().count());
}

}  // namespace berth::depot
