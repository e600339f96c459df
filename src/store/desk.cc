#include "store/desk.h"

namespace berth::store {
namespace {

constexpr auto kFirstPause = std::chrono::milliseconds(5);
constexpr auto kLongestPause = std::chrono::milliseconds(200);

}  // namespace

Task<Result<DigestLock>> Desk::lock(rt::Op& op, oci::Digest digest) {
  for (std::chrono::milliseconds pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    CO_TRY(auto lock, co_await rt::blocking(loop_, [this, &digest] {
             return DigestLock::try_acquire(layout_->root(), digest);
           }));
    if (lock) co_return std::move(*lock);
    CO_TRY_OK(co_await rt::sleep_for(op, pause));
  }
}

Task<Result<std::shared_ptr<Session>>> Desk::session(rt::Op& op) {
  if (session_) co_return session_;
  CO_TRY(auto session,
         co_await patiently(op, [this] { return Session::start(loop_, layout_, catalog_); }));
  // Another coroutine may have been faster; then this one's goes again.
  if (!session_) session_ = std::move(session);
  co_return session_;
}

}  // namespace berth::store
