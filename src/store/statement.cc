#include "store/statement.h"

#include "base/assert.h"
#include "store/database_fault.h"

namespace berth::store {
namespace {

// Short: whoever finds the catalogue locked waits on a timer, not on a thread of the pool.
constexpr int kBusyMilliseconds = 20;

std::string uri(const std::string& file, Database::Mode mode) {
  std::string escaped;
  for (const char c : file) {
    if (c == '?' || c == '#' || c == '%') {
      escaped += fmt::format("%{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      escaped += c;
    }
  }
  return "file:" + escaped + (mode == Database::Mode::kImmutable ? "?immutable=1" : "");
}

}  // namespace

Result<bool> Rows::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->failure(code);
}

std::string Rows::text(int column) const {
  const unsigned char* start = sqlite3_column_text(statement_, column);
  if (!start) return {};
  return {reinterpret_cast<const char*>(start),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Rows::bind(int at, std::string_view value) {
  sqlite3_bind_text64(statement_, at, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

Result<std::unique_ptr<Database>> Database::open(const std::string& file, Mode mode,
                                                 Faults faults) {
  watch_database_writes();
  std::unique_ptr<Database> database(new Database(file, faults));
  const int access =
      mode == Mode::kReadWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  const int code = sqlite3_open_v2(uri(file, mode).c_str(), &database->connection_,
                                   access | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return database->failure(code);
  sqlite3_extended_result_codes(database->connection_, 1);
  sqlite3_busy_timeout(database->connection_, kBusyMilliseconds);
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

Result<Rows> Database::prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (!statement) {
    const int code =
        sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return failure(code);
  }
  // A statement that is still running elsewhere would be rewound under its reader.
  BERTH_ASSERT(!sqlite3_stmt_busy(statement));
  return Rows(*this, statement);
}

Status Database::script(const char* sql) {
  const int code = sqlite3_exec(connection_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure(code);
  return {};
}

std::unexpected<Error> Database::failure(int code) const {
  const char* text = connection_ ? sqlite3_errmsg(connection_) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(Code::kTimeout,
                  "another process keeps the catalogue {} locked; try again when it is done",
                  file_);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(Code::kCorrupt, "the catalogue {} is damaged ({}): {}", file_, text,
                  faults_.damaged);
    case SQLITE_FULL:
      return fail(Code::kExhausted,
                  "the disk is full: cannot write the catalogue {}; free some space", file_);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return fail(faults_.read_only,
                  "cannot open or write the catalogue {} ({}): check who owns its folder", file_,
                  text);
    case SQLITE_NOLFS:
      return fail(Code::kTooLarge, "the file system of the catalogue {} allows no large files",
                  file_);
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL:
      switch (code) {
        case SQLITE_IOERR_LOCK:
        case SQLITE_IOERR_UNLOCK:
        case SQLITE_IOERR_RDLOCK:
        case SQLITE_IOERR_CHECKRESERVEDLOCK:
        case SQLITE_IOERR_SHMOPEN:
        case SQLITE_IOERR_SHMLOCK:
        case SQLITE_IOERR_SHMMAP:
        case SQLITE_PROTOCOL:
          return fail(
              Code::kUnsupported,
              "the file system of the catalogue {} cannot lock files ({}): its folder has to be on "
              "a local disk",
              file_, text);
        default:
          return fail(Code::kIo, "the disk failed at the catalogue {} ({})", file_, text);
      }
    case SQLITE_NOMEM:
      return fail(Code::kExhausted, "no memory left for the catalogue {}", file_);
    default:
      return fail(Code::kInternal, "the catalogue {} refused a statement: {}", file_, text);
  }
}

Result<Transaction> Transaction::begin(Database& database, Kind kind) {
  if (kind == Kind::kWrite) {
    TRY_OK(database.run("BEGIN IMMEDIATE"));
  } else {
    TRY_OK(database.run("BEGIN"));
  }
  return Transaction(database);
}

Transaction::~Transaction() {
  // A failure here means that SQLite has rolled back by itself.
  if (database_) (void)database_->run("ROLLBACK");
}

Status Transaction::commit() {
  TRY_OK(database_->run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace berth::store
