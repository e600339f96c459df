#include "local/system.h"

#include <algorithm>
#include <cstring>

#include "engine/install.h"
#include "rt/async.h"

namespace berth::local {
namespace {

std::unexpected<Error> no_daemon() {
  return fail(Code::kUnavailable, "no daemon runs here; start one with: berth serve");
}

// The log as a stream: what is kept, then, when it is followed, each new line until the Op ends or
// the server stops.
class LogReader : public rt::Reader {
 public:
  LogReader(rt::Loop& loop, runner::LogBuffer& log, runner::LogBuffer::Which which, bool follow)
      : news_(loop), ended_(!follow) {
    for (const std::string& line : log.lines(which)) pending_ += line + "\n";
    if (!follow) return;
    following_ = log.follow({.which = which,
                             .on_line = [this](const std::string& line) { take(line); },
                             .on_end = [this] { end(); }});
  }

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    while (pending_.empty()) {
      if (ended_) co_return 0;
      CO_TRY_OK(co_await news_.wait(op));
    }
    const std::size_t count = std::min(into.size(), pending_.size());
    std::memcpy(into.data(), pending_.data(), count);
    pending_.erase(0, count);
    co_return count;
  }

 private:
  void take(const std::string& line) {
    if (pending_.size() < runner::LogBuffer::kMaxBytes) pending_ += line + "\n";
    news_.notify_all();
  }
  void end() {
    ended_ = true;
    news_.notify_all();
  }

  rt::Event news_;
  bool ended_;
  std::string pending_;
  std::shared_ptr<void> following_;
};

}  // namespace

rt::Task<Result<control::StatusReport>> System::status(rt::Op& op) {
  control::StatusReport report;
  report.running = role_ == Role::kDaemon;
  report.endpoints = endpoints_;
  report.endpoint = endpoints_.empty() ? shared_.paths.socket : endpoints_.front();
  report.store = shared_.store->root();
  const auto installation = co_await engine_.probe(op);
  control::BackendStatus backend{.name = engine_.traits().name};
  if (installation) {
    backend.state = "Running";
    backend.details =
        fmt::format("{} ({}: {})", installation->version, engine::to_string(installation->origin),
                    installation->root.empty() ? installation->program : installation->root);
  } else {
    backend.state = installation.error().code() == Code::kNotFound ? "Not Installed" : "Error";
    backend.details = installation.error().message();
  }
  report.backends.push_back(std::move(backend));
  const auto isolation =
      shared_.settings.engine.no_sandbox ? engine::Isolation::kNone : engine::Isolation::kSandbox;
  auto sandbox = co_await engine_.sandbox_report(op, isolation);
  if (sandbox) {
    report.sandbox = std::move(*sandbox);
  } else {
    report.sandbox.emplace_back("sandbox", sandbox.error().message());
  }
  co_return report;
}

rt::Task<Result<std::string>> System::server_version(rt::Op&) {
  if (role_ != Role::kDaemon) co_return no_daemon();
  co_return std::string(BERTH_VERSION);
}

rt::Task<Result<control::DiskUsage>> System::df(rt::Op& op) {
  CO_TRY(const store::Usage usage, co_await shared_.store->usage(op));
  CO_TRY(const store::Freed reclaimable,
         co_await shared_.store->prune(op, {.dry_run = store::DryRun::kYes}));
  const std::string engines = shared_.paths.engines;
  CO_TRY(const auto installed,
         co_await rt::blocking(shared_.loop, [&] { return engine::installed_runners(engines); }));
  control::DiskUsage disk;
  disk.models = usage.blobs.allocated;
  disk.unfinished = usage.ingest.allocated;
  disk.catalogue = usage.catalogue.allocated;
  disk.reclaimable = reclaimable.bytes;
  for (const engine::InstalledRunner& runner : installed) disk.engines += runner.bytes;
  co_return disk;
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> System::logs(rt::Op&, bool follow, bool engines) {
  if (role_ != Role::kDaemon) co_return no_daemon();
  using Which = runner::LogBuffer::Which;
  co_return std::make_unique<LogReader>(shared_.loop, runner_.logs(),
                                        engines ? Which::kAll : Which::kServer, follow);
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> System::requests(rt::Op&, std::string, bool, bool) {
  if (role_ != Role::kDaemon) co_return no_daemon();
  co_return fail(Code::kUnsupported,
                 "requests are not recorded; turn it on with: berth serve --record-requests");
}

}  // namespace berth::local
