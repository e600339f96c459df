#include "store/catalog.h"

#include <chrono>
#include <thread>

#include "store/rebuild.h"
#include "store/schema.h"

namespace berth::store {
namespace {

constexpr auto kOpenPatience = std::chrono::seconds(10);
constexpr auto kOpenPause = std::chrono::milliseconds(5);

// Opening is before the loop runs, so it may sleep. Only creation, rebuilding and recovery of a
// crash make it wait.
template <class Work>
std::invoke_result_t<Work> patiently(Work work) {
  const auto until = std::chrono::steady_clock::now() + kOpenPatience;
  for (;;) {
    auto result = work();
    if (result || result.error().code() != Code::kTimeout) return result;
    if (std::chrono::steady_clock::now() > until) return result;
    std::this_thread::sleep_for(kOpenPause);
  }
}

Result<std::int64_t> version_of(Database& database) {
  TRY(Rows rows, database.query("PRAGMA user_version"));
  TRY_OK(rows.next());
  return rows.integer(0);
}

Status check_version(std::int64_t version, const Schema& schema, const Layout& layout) {
  if (version <= schema.version) return {};
  return fail(Code::kUnsupported,
              "the {} {} was made by a newer Berth (catalogue version {}, this one knows {}): "
              "upgrade Berth or choose another folder with {}",
              layout.names().kind, layout.root().path(), version, schema.version,
              layout.names().chosen_with);
}

// The first process to come makes the tables and, when blobs are there without a catalogue, fills
// them from the layout.
Status make(Database& database, const Layout& layout, const Schema& schema) {
  TRY_OK(database.script("PRAGMA journal_mode = WAL"));
  TRY(Transaction transaction, Transaction::begin(database, Transaction::Kind::kWrite));
  TRY(const std::int64_t version, version_of(database));
  if (version != 0) return {};
  for (const char* tables : schema.tables) TRY_OK(database.script(tables));
  TRY_OK(database.script(fmt::format("PRAGMA user_version = {}", schema.version).c_str()));
  if (schema.fill != nullptr) TRY_OK(schema.fill(database, layout));
  return transaction.commit();
}

Result<std::unique_ptr<Database>> open_database(const Layout& layout, const Schema& schema) {
  const std::string file = fmt::format("{}/{}", layout.root().path(), schema.file);
  if (layout.access() == Layout::Access::kReadWrite) {
    return Database::open(file, Database::Mode::kReadWrite, schema.faults);
  }
  TRY(const auto found, layout.root().find(schema.file));
  if (!found) {
    return fail(Code::kDenied, "the store {} has no catalogue and this user cannot write one there",
                layout.root().path());
  }
  // In a folder that cannot be written, SQLite can only read a database that nobody else has open.
  auto database = Database::open(file, Database::Mode::kReadOnly);
  if (database && version_of(**database)) return database;
  return Database::open(file, Database::Mode::kImmutable);
}

Result<std::unique_ptr<Database>> prepare(const Layout& layout, const Schema& schema) {
  TRY(auto database, open_database(layout, schema));
  TRY_OK(database->script("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL"));
  TRY(const std::int64_t version, version_of(*database));
  TRY_OK(check_version(version, schema, layout));
  if (version == 0) {
    if (layout.access() == Layout::Access::kReadOnly) {
      return fail(Code::kDenied,
                  "the store {} has an empty catalogue and this user cannot write it",
                  layout.root().path());
    }
    TRY_OK(make(*database, layout, schema));
  } else if (version < schema.version) {
    if (layout.access() == Layout::Access::kReadOnly) {
      return fail(Code::kDenied,
                  "the catalogue of {} is of an older version ({}) and this user cannot write it: "
                  "run any command as its owner once, which brings it to version {}",
                  layout.root().path(), version, schema.version);
    }
    TRY_OK(upgrade(*database, schema.steps, schema.version));
  }
  return database;
}

}  // namespace

const Schema& store_schema() {
  static const Schema schema{.file = kCatalogueFile,
                             .version = kSchemaVersion,
                             .tables = {kBlobTables, kModelTables},
                             .steps = schema_steps(),
                             .fill = rebuild,
                             .faults = {}};
  return schema;
}

Result<std::unique_ptr<Catalog>> Catalog::open(const Layout& layout, const Schema& schema) {
  TRY(auto database, patiently([&] { return prepare(layout, schema); }));
  return std::unique_ptr<Catalog>(new Catalog(std::move(database), layout));
}

Status Catalog::check_writable() const {
  if (access_ == Layout::Access::kReadWrite) return {};
  return fail(
      Code::kDenied,
      "the store {} can only be read by this user or in this mode: nothing can be added, tagged or "
      "removed",
      root_);
}

Status Catalog::set(Durability durability) {
  if (durability == durability_) return {};
  TRY_OK(database_->script(durability == Durability::kFull ? "PRAGMA synchronous = FULL"
                                                           : "PRAGMA synchronous = NORMAL"));
  durability_ = durability;
  return {};
}

}  // namespace berth::store
