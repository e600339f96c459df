#include "runner/slot.h"

#include <utility>
#include <variant>

#include "rt/async.h"

namespace berth::runner {
namespace {

using namespace std::chrono_literals;

// A broken connection is seen a little before the end of the process behind it.
constexpr auto kUntilSeen = 1'000ms;
// An engine holds no state: SIGTERM is a courtesy.
constexpr auto kGrace = 2'000ms;

class ExplainedReader : public rt::Reader {
 public:
  ExplainedReader(std::shared_ptr<Slot> slot, std::unique_ptr<rt::Reader> inner)
      : slot_(std::move(slot)), inner_(std::move(inner)) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    auto got = co_await inner_->read(op, into);
    if (got || got.error().code() != Code::kUnavailable) co_return got;
    co_return std::unexpected(co_await slot_->explain(op, got.error()));
  }

 private:
  std::shared_ptr<Slot> slot_;
  std::unique_ptr<rt::Reader> inner_;
};

}  // namespace

rt::Task<Result<http::Response>> Slot::handle(rt::Op& caller, http::Request request) {
  const auto self = shared_from_this();
  if (failure) co_return std::unexpected(*failure);
  auto response = co_await client->handle(caller, std::move(request));
  if (!response) {
    if (response.error().code() != Code::kUnavailable) co_return response;
    co_return std::unexpected(co_await explain(caller, response.error()));
  }
  if (auto* reader = std::get_if<std::unique_ptr<rt::Reader>>(&response->body.content)) {
    *reader = std::make_unique<ExplainedReader>(self, std::move(*reader));
  }
  co_return response;
}

rt::Task<Error> Slot::explain(rt::Op& caller, Error failed) {
  const auto self = shared_from_this();
  rt::Op moment(caller, std::chrono::steady_clock::now() + kUntilSeen);
  while (!failure && co_await ended.wait(moment)) continue;
  co_return failure.value_or(std::move(failed));
}

rt::Task<Status> Slot::load(rt::Loop& loop, engine::Engine& engine, const Settings& settings,
                            std::uint64_t capacity, LogBuffer& log) {
  const auto begin = std::chrono::steady_clock::now();
  rt::Op bounded(op, begin + settings.load_time);
  engine::LaunchRequest request{.files = spec.files,
                                .shape = spec.shape,
                                .options = spec.options,
                                .gpu = settings.gpu,
                                .isolation = settings.isolation,
                                .memory_limit = std::max(capacity, spec.memory)};
  CO_TRY(engine::Launch planned, co_await engine.plan(bounded, std::move(request)));
  launch.emplace(std::move(planned));
  const auto on_line = [this, &log](std::string_view line) {
    log.add_engine(spec.display_name, line);
  };
  CO_TRY(process::Child started, process::Child::start(loop, launch->command, on_line));
  child.emplace(std::move(started));
  client = std::make_unique<http::DirectClient>(loop, http::UnixEndpoint{launch->socket});
  const Status answers = co_await engine.ready(bounded, *child, *client);
  if (!answers) {
    const bool by_itself = child->exit_status().has_value();
    if (!by_itself) (void)co_await child->terminate(kGrace);
    co_return std::unexpected(by_itself ? engine.explain_exit(*child, *launch) : answers.error());
  }
  report = {.time = std::chrono::duration_cast<std::chrono::milliseconds>(
                std::chrono::steady_clock::now() - begin),
            .placement = launch->placement,
            .sandbox = launch->sandbox,
            .context_size = launch->context_size,
            .engine_version = launch->installation.version};
  ready = true;
  co_return Status();
}

rt::Task<Status> Slot::run_out(engine::Engine& engine) {
  rt::Op forever;
  (void)co_await child->wait(forever);
  ready = false;
  failure = stopping ? Error(Code::kUnavailable, fmt::format("{} was unloaded", spec.display_name))
                     : engine.explain_exit(*child, *launch);
  client->close_idle();
  launch.reset();  // the socket's folder and the cgroup go now, though tickets may hold on to us
  spec.guard.reset();
  ended.notify_all();
  co_return Status();
}

rt::Task<Status> Slot::stop() {
  const auto self = shared_from_this();
  stopping = true;
  op.cancel(Error(Code::kCancelled, fmt::format("loading {} was stopped", spec.display_name)));
  if (child && !child->exit_status()) (void)co_await child->terminate(kGrace);
  co_return Status();
}

}  // namespace berth::runner
