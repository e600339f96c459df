// The loop's way to the catalogue and the disk: work goes to the pool, and what finds the catalogue
// busy is tried again on a timer instead of holding a thread.
//
// Owned by Store; outlives its coroutines.
#pragma once

#include <chrono>
#include <memory>

#include "rt/async.h"
#include "store/catalog.h"
#include "store/digest_lock.h"
#include "store/layout.h"
#include "store/session.h"

namespace berth::store {

class Desk {
 public:
  // How long work waits for a catalogue that another process has locked.
  static constexpr std::chrono::milliseconds kPatience{30'000};

  Desk(rt::Loop& loop, std::shared_ptr<const Layout> layout, std::shared_ptr<Catalog> catalog,
       std::chrono::milliseconds patience = kPatience)
      : loop_(loop),
        layout_(std::move(layout)),
        catalog_(std::move(catalog)),
        patience_(patience) {}

  rt::Loop& loop() { return loop_; }
  const Layout& layout() const { return *layout_; }
  Catalog& catalog() { return *catalog_; }

  // Work is called as work(Database&) on the pool, again when the catalogue was busy before it
  // began.
  template <class Work>
  Task<std::invoke_result_t<Work, Database&>> read(rt::Op& op, Work work) {
    return patiently(
        op, [catalog = catalog_.get(), work = std::move(work)] { return catalog->read(work); });
  }
  template <class Work>
  Task<std::invoke_result_t<Work, Database&>> write(rt::Op& op, Catalog::Durability durability,
                                                    Work work) {
    return patiently(op, [catalog = catalog_.get(), durability, work = std::move(work)] {
      return catalog->write(durability, work);
    });
  }
  template <class Work>
  Task<std::invoke_result_t<Work, Database&>> rehearse(rt::Op& op, Work work) {
    return patiently(
        op, [catalog = catalog_.get(), work = std::move(work)] { return catalog->rehearse(work); });
  }

  // Waits until nobody else works on the blob, as long as the Op lets it.
  Task<Result<DigestLock>> lock(rt::Op& op, oci::Digest digest);

  // This process's session, begun when it is first asked for.
  Task<Result<std::shared_ptr<Session>>> session(rt::Op& op);
  const std::shared_ptr<Session>& session_if_any() const { return session_; }

 private:
  // kTimeout from the work means a busy catalogue and nothing else.
  template <class Attempt>
  Task<std::invoke_result_t<Attempt>> patiently(rt::Op& op, Attempt attempt) {
    const rt::SteadyTime until = std::chrono::steady_clock::now() + patience_;
    for (;;) {
      CO_TRY_OK(op.check());
      auto result = co_await rt::blocking(loop_, attempt);
      if (result || result.error().code() != Code::kTimeout) co_return std::move(result);
      if (std::chrono::steady_clock::now() > until) co_return std::move(result);
      CO_TRY_OK(co_await rt::sleep_for(op, kPause));
    }
  }

  static constexpr auto kPause = std::chrono::milliseconds(10);

  rt::Loop& loop_;
  std::shared_ptr<const Layout> layout_;
  std::shared_ptr<Catalog> catalog_;
  std::chrono::milliseconds patience_;
  std::shared_ptr<Session> session_;
};

}  // namespace berth::store
