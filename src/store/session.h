// One process's presence at a store: a row and a locked file. Leases belong to a session and end
// with it.
//
// Made when the first lease or ingest of unknown digest needs it. Blocking methods run on the pool;
// `transfers` is the loop thread's. A session is alive while its file is locked, which the kernel
// ends with the process.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fs/file.h"
#include "rt/loop.h"
#include "store/catalog.h"
#include "store/lease.h"
#include "store/statement.h"

namespace berth::store {

class Session : public std::enable_shared_from_this<Session> {
 public:
  // Blocking.
  static Result<std::shared_ptr<Session>> start(rt::Loop& loop,
                                                std::shared_ptr<const Layout> layout,
                                                std::shared_ptr<Catalog> catalog);
  ~Session();  // blocking: takes the row and the file away

  const std::string& id() const { return id_; }

  // Loop thread: the numbers of this session's living transfer leases, under which what is touched
  // is held.
  std::vector<std::int64_t> transfers;
  std::int64_t next_number = 1;

  // Loop thread: the lease with this number is over; its rows go on the pool.
  void end(std::int64_t number);
  // In a transaction: takes away the rows of leases that are over, for who must not see them any
  // more.
  Status flush(Database& database);

 private:
  Session(rt::Loop& loop, std::shared_ptr<const Layout> layout, std::shared_ptr<Catalog> catalog,
          std::string id, fs::Lock lock);

  rt::Loop& loop_;
  std::shared_ptr<const Layout> layout_;
  std::shared_ptr<Catalog> catalog_;
  std::string id_;
  fs::Lock lock_;
  std::mutex mutex_;
  std::vector<std::int64_t> over_;  // ended, rows still there
};

// Inside a transaction of Catalog.
Status insert_lease(Database& database, const std::string& session, std::int64_t number,
                    Lease::Kind kind, const std::vector<oci::Digest>& digests);
Status hold(Database& database, const std::string& session, const std::vector<std::int64_t>& leases,
            const oci::Digest& digest);
// Removes what dead processes left; after it every row of `sessions` is a living process.
Status bury_dead_sessions(Database& database, const Layout& layout);
Result<bool> is_alive(const Layout& layout, const std::string& session);
// Whether a living process runs it.
Result<bool> is_running(Database& database, const Layout& layout, const oci::Digest& digest);

}  // namespace berth::store
