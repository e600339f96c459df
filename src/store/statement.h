// A thin RAII layer over SQLite: one connection, cached prepared statements, transactions.
//
// Blocking and not thread-safe: Catalog serialises. Failures: kTimeout means that another process
// holds the lock (and nothing else), kCorrupt a damaged file, kExhausted a full disk, kDenied a
// read-only one, kUnsupported a file system that cannot lock.
#pragma once

#include <cstdint>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace berth::store {

class Database;

// The rows of one running statement; resets it when it goes.
class Rows {
 public:
  Rows(Database& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}
  Rows(Rows&& other) noexcept
      : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
  Rows& operator=(Rows&&) = delete;
  ~Rows() {
    if (statement_) sqlite3_reset(statement_);
  }

  Result<bool> next();  // false after the last row
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const;
  bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  friend class Database;
  void bind(int at, std::string_view value);
  void bind(int at, const std::string& value) { bind(at, std::string_view(value)); }
  void bind(int at, const char* value) { bind(at, std::string_view(value)); }
  void bind(int at, std::int64_t value) { sqlite3_bind_int64(statement_, at, value); }

  Database* database_;
  sqlite3_stmt* statement_;
};

class Database {
 public:
  enum class Mode { kReadWrite, kReadOnly, kImmutable };
  // What its owner makes of two faults.
  struct Faults {
    std::string_view damaged =
        "move it and its -wal and -shm files away and try again; it is rebuilt from the blobs and "
        "refs.log beside it, no model is lost";
    Code read_only = Code::kDenied;
  };
  static Result<std::unique_ptr<Database>> open(const std::string& file, Mode mode, Faults faults);
  static Result<std::unique_ptr<Database>> open(const std::string& file, Mode mode) {
    return open(file, mode, Faults());
  }
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // `sql` must be a literal: statements are kept by its address. Parameters are strings and
  // std::int64_t.
  template <class... Args>
  Result<Rows> query(const char* sql, const Args&... args) {
    TRY(Rows rows, prepare(sql));
    int at = 0;
    (rows.bind(++at, args), ...);
    return rows;
  }
  template <class... Args>
  Status run(const char* sql, const Args&... args) {
    TRY(Rows rows, query(sql, args...));
    TRY_OK(rows.next());
    return {};
  }
  Status script(const char* sql);  // several statements, no parameters
  std::int64_t changes() const { return sqlite3_changes64(connection_); }

  std::unexpected<Error> failure(int code) const;

 private:
  Database(std::string file, Faults faults) : file_(std::move(file)), faults_(faults) {}
  Result<Rows> prepare(const char* sql);

  std::string file_;
  Faults faults_;
  sqlite3* connection_ = nullptr;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

// BEGIN IMMEDIATE (the one writer of all processes) or a consistent read; rolled back unless
// committed.
class Transaction {
 public:
  enum class Kind { kRead, kWrite };
  static Result<Transaction> begin(Database& database, Kind kind);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace berth::store
