#include "store/session.h"

#include <unistd.h>

#include <boost/asio/post.hpp>

#include "base/log.h"
#include "crypto/hash.h"
#include "store/blobs.h"

namespace berth::store {
namespace {

constexpr std::string_view kTransfer = "transfer";
constexpr std::string_view kRun = "run";

constexpr std::string_view kLockPrefix = "session-";
// A younger lock without a row may be one whose process is about to insert it.
constexpr auto kForgotten = std::chrono::hours(1);

std::string lock_name(const std::string& session) { return "locks/session-" + session; }

Result<std::vector<std::string>> session_ids(Rows rows) {
  std::vector<std::string> ids;
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return ids;
    ids.push_back(rows.text(0));
  }
}

// A row that stays behind protects nothing once this process is gone; so failing to remove it is
// only worth a line.
void note(std::string_view doing, const Status& status) {
  if (!status) log::debug("store: {}: {}", doing, status.error().message());
}

}  // namespace

Session::Session(rt::Loop& loop, std::shared_ptr<const Layout> layout,
                 std::shared_ptr<Catalog> catalog, std::string id, fs::Lock lock)
    : loop_(loop),
      layout_(std::move(layout)),
      catalog_(std::move(catalog)),
      id_(std::move(id)),
      lock_(std::move(lock)) {}

Result<std::shared_ptr<Session>> Session::start(rt::Loop& loop,
                                                std::shared_ptr<const Layout> layout,
                                                std::shared_ptr<Catalog> catalog) {
  TRY_OK(catalog->check_writable());
  const std::string id = crypto::random_hex(8);
  // Locked before the row can be seen: nobody takes a living session for a dead one.
  TRY(auto lock, fs::Lock::try_acquire(layout->root(), lock_name(id), fs::Lock::Mode::kExclusive));
  if (!lock) return fail(Code::kConflict, "another process uses the session {} of the store", id);
  TRY_OK(catalog->write(Catalog::Durability::kRelaxed, [&](Database& database) {
    return database.run("INSERT INTO sessions(id, pid, started) VALUES(?, ?, ?)", id,
                        std::int64_t{::getpid()},
                        static_cast<std::int64_t>(now().time_since_epoch().count()));
  }));
  return std::shared_ptr<Session>(
      new Session(loop, std::move(layout), std::move(catalog), id, std::move(*lock)));
}

Session::~Session() {
  note("ending a session", catalog_->write(Catalog::Durability::kRelaxed, [&](Database& database) {
    return database.run("DELETE FROM sessions WHERE id = ?", id_);
  }));
  note("removing a session's lock", layout_->root().remove(lock_name(id_)));
}

void Session::end(std::int64_t number) {
  std::erase(transfers, number);
  {
    const std::lock_guard guard(mutex_);
    over_.push_back(number);
  }
  // The pool is joined before the process ends; what is not done by then ends with the session's
  // row.
  boost::asio::post(loop_.pool(), [self = shared_from_this()] {
    note("ending a lease",
         self->catalog_->write(Catalog::Durability::kRelaxed,
                               [&](Database& database) { return self->flush(database); }));
  });
}

Status Session::flush(Database& database) {
  const std::lock_guard guard(mutex_);
  for (const std::int64_t number : over_) {
    TRY_OK(database.run("DELETE FROM leases WHERE session = ? AND number = ?", id_, number));
  }
  over_.clear();
  return {};
}

Status insert_lease(Database& database, const std::string& session, std::int64_t number,
                    Lease::Kind kind, const std::vector<oci::Digest>& digests) {
  TRY_OK(database.run("INSERT INTO leases(session, number, kind) VALUES(?, ?, ?)", session, number,
                      kind == Lease::Kind::kRun ? kRun : kTransfer));
  for (const oci::Digest& digest : digests) TRY_OK(hold(database, session, {number}, digest));
  return {};
}

Status hold(Database& database, const std::string& session, const std::vector<std::int64_t>& leases,
            const oci::Digest& digest) {
  for (const std::int64_t number : leases) {
    // Not there when the lease ended between the caller's look and this transaction.
    TRY_OK(
        database.run("INSERT OR IGNORE INTO holds(session, number, digest) "
                     "SELECT session, number, ? FROM leases WHERE session = ? AND number = ?",
                     digest.string(), session, number));
  }
  return {};
}

Result<bool> is_alive(const Layout& layout, const std::string& session) {
  TRY(const auto file, layout.root().find(lock_name(session)));
  if (!file) return false;
  TRY(const auto lock,
      fs::Lock::try_acquire(layout.root(), lock_name(session), fs::Lock::Mode::kExclusive));
  return !lock;
}

namespace {

// Locks whose process died before it had its row, or after it had taken it away.
Status remove_forgotten_locks(Database& database, const Layout& layout) {
  TRY(const fs::Dir locks, layout.root().subdir("locks"));
  TRY(const auto names, locks.list());
  for (const std::string& name : names) {
    if (!name.starts_with(kLockPrefix)) continue;
    const std::string id = name.substr(kLockPrefix.size());
    TRY(const auto info, locks.find(name));
    if (!info ||
        std::chrono::nanoseconds(info->mtime_ns) > (now() - kForgotten).time_since_epoch()) {
      continue;
    }
    TRY(Rows rows, database.query("SELECT 1 FROM sessions WHERE id = ?", id));
    TRY(const bool has_row, rows.next());
    if (has_row) continue;
    TRY(const bool alive, is_alive(layout, id));
    if (!alive) TRY_OK(locks.remove(name));
  }
  return {};
}

}  // namespace

Status bury_dead_sessions(Database& database, const Layout& layout) {
  TRY(Rows rows, database.query("SELECT id FROM sessions"));
  TRY(const auto ids, session_ids(std::move(rows)));
  for (const std::string& id : ids) {
    TRY(const bool alive, is_alive(layout, id));
    if (alive) continue;
    TRY_OK(database.run("DELETE FROM sessions WHERE id = ?", id));
    TRY_OK(layout.root().remove(lock_name(id)));
  }
  return remove_forgotten_locks(database, layout);
}

Result<bool> is_running(Database& database, const Layout& layout, const oci::Digest& digest) {
  TRY(Rows rows, database.query("SELECT DISTINCT h.session FROM holds h JOIN leases l "
                                "ON l.session = h.session AND l.number = h.number "
                                "WHERE h.digest = ? AND l.kind = 'run'",
                                digest.string()));
  TRY(const auto ids, session_ids(std::move(rows)));
  for (const std::string& id : ids) {
    TRY(const bool alive, is_alive(layout, id));
    if (alive) return true;
  }
  return false;
}

Lease::Lease(std::shared_ptr<Session> session, std::int64_t number)
    : session_(std::move(session)), number_(number) {}
Lease::Lease(Lease&& other) noexcept = default;
Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  end();
  session_ = std::move(other.session_);
  number_ = other.number_;
  return *this;
}
Lease::~Lease() { end(); }
void Lease::end() {
  if (session_) session_->end(number_);
  session_.reset();
}

}  // namespace berth::store
