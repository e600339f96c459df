#include "store/settler.h"

#include <map>
#include <sys/stat.h>

#include "base/failpoint.h"

namespace berth::store {
namespace {

constexpr unsigned kBlobMode = 0444;
constexpr std::size_t kMostAtOnce = 64;  // the catalogue is not held longer than that takes

// A link keeps the mode that its owner gave it.
Status finish(fs::File& file, bool linked) {
  if (!linked && ::fchmod(file.fd(), kBlobMode) != 0)
    return fail_errno(errno, fmt::format("cannot protect {}", file.name()));
  return file.sync();
}

// commit() refuses before it changes anything; all else undoes the whole transaction.
bool is_refusal(Code code) {
  return code == Code::kConflict || code == Code::kInvalid || code == Code::kNotFound ||
         code == Code::kDenied;
}

}  // namespace

Task<Result<bool>> Settler::settle(rt::Op& op, fs::File& file, Arrival arrival, Work also) {
  CO_TRY_OK(op.check());
  co_return co_await wait_for(std::make_shared<Entry>(&file, std::move(arrival), std::move(also)));
}

Task<Status> Settler::record(rt::Op& op, Work work) {
  CO_TRY_OK(op.check());
  const auto done = co_await wait_for(std::make_shared<Entry>(nullptr, Arrival{}, std::move(work)));
  if (!done) co_return std::unexpected(done.error());
  co_return Status();
}

Task<Result<bool>> Settler::wait_for(std::shared_ptr<Entry> entry) {
  waiting_.push_back(entry);
  rt::Op unhurried;
  while (!entry->outcome) {
    if (leading_) {
      (void)co_await settled_.wait(unhurried);
      continue;
    }
    leading_ = true;
    (void)co_await lead(unhurried);
    leading_ = false;
    settled_.notify_all();
  }
  co_return *entry->outcome;
}

Task<Status> Settler::lead(rt::Op& op) {
  Batch batch;
  while (!waiting_.empty() && batch.size() < kMostAtOnce) {
    batch.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  BERTH_FAILPOINT("store.settle.before_sync");
  rt::Scope syncs(desk_.loop());
  for (const auto& entry : batch) {
    if (entry->file != nullptr) syncs.spawn(make_durable(entry));
  }
  (void)co_await syncs.join();
  BERTH_FAILPOINT("store.settle.after_sync");
  const Status done = co_await enter(op, batch);
  if (done) co_return done;
  for (const auto& entry : batch) {
    if (!entry->outcome || *entry->outcome) entry->outcome = std::unexpected(done.error());
  }
  co_return done;
}

Task<Status> Settler::make_durable(std::shared_ptr<Entry> entry) {
  const Status done = co_await rt::blocking(
      desk_.loop(), [&entry] { return finish(*entry->file, entry->arrival.link.has_value()); });
  if (!done) entry->outcome = std::unexpected(done.error());
  co_return Status();
}

Result<bool> Settler::enter_one(Database& database, const Entry& entry) const {
  bool taken = false;
  if (entry.file != nullptr) {
    TRY(taken, commit(database, desk_.layout(), entry.arrival));
  }
  if (entry.also) TRY_OK(entry.also(database));
  return taken;
}

Task<Status> Settler::enter(rt::Op& op, const Batch& batch) {
  // Filled when the transaction is over: a busy catalogue makes it run again.
  std::vector<Result<bool>> outcomes;
  CO_TRY_OK(co_await desk_.write(
      op, durability_, [this, &batch, &outcomes](Database& database) -> Status {
        outcomes.clear();
        for (const auto& entry : batch) {
          auto outcome = entry->outcome ? *entry->outcome : enter_one(database, *entry);
          const bool ours = !entry->outcome;
          if (ours && !outcome && !is_refusal(outcome.error().code()))
            return std::unexpected(outcome.error());
          outcomes.push_back(std::move(outcome));
        }
        return sync_folders(batch, outcomes);
      }));
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i]->outcome = std::move(outcomes[i]);
  co_return Status();
}

// Before the rows are there: a row tells others that the blob will be here after a power failure,
// and a sync that failed must not be believed the next time.
Status Settler::sync_folders(const Batch& batch, const std::vector<Result<bool>>& outcomes) const {
  std::map<std::string_view, oci::Digest> folders;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const oci::Digest& digest = batch[i]->arrival.blob.digest;
    if (outcomes[i] && *outcomes[i]) folders.emplace(digest.algorithm_name(), digest);
  }
  for (const auto& [name, digest] : folders) TRY_OK(desk_.layout().sync_blobs(digest));
  return {};
}

}  // namespace berth::store
