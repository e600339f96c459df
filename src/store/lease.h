// A lease: content that prune and rm must not take while a transfer or an engine uses it.
//
// Loop thread. The holder keeps the object alive for as long as it uses the content; the lease ends
// with it, or when the process dies (it is a row backed by a locked file). While a kTransfer lease
// lives, every blob that this Store is asked about or takes in (has, put, put_bytes, adopt) is
// protected until that lease ends.
#pragma once

#include <cstdint>
#include <memory>

namespace berth::store {

class Session;

class Lease {
 public:
  enum class Kind {
    kTransfer,  // pull, push, package, import, export
    kRun,       // a running engine: Store::in_use says so
  };

  Lease() = default;  // of nothing
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

 private:
  friend class Store;
  Lease(std::shared_ptr<Session> session, std::int64_t number);
  void end();

  std::shared_ptr<Session> session_;
  std::int64_t number_ = 0;
};

}  // namespace berth::store
