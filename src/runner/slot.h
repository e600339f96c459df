// One engine from its start to its end, as the runner holds it. Private to runner.
#pragma once

#include <memory>
#include <optional>

#include "http/connection.h"
#include "process/child.h"
#include "runner/runner.h"

namespace berth::runner {

// What a ticket gives out: the engine's HTTP API, whose failures say why the engine is gone when
// that is why they failed.
class Slot : public http::Service, public std::enable_shared_from_this<Slot> {
 public:
  Slot(rt::Loop& loop, rt::Op& life, LoadSpec wanted)
      : spec(std::move(wanted)), op(life), ended(loop) {}

  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override;

  // Plans, starts, waits until it answers. The failure is already the engine's own explanation.
  rt::Task<Status> load(rt::Loop& loop, engine::Engine& engine, const Settings& settings,
                        std::uint64_t capacity, LogBuffer& log);
  // Until it has ended, for whatever reason; fills `failure`.
  rt::Task<Status> run_out(engine::Engine& engine);
  rt::Task<Status> stop();

  // `failed` as it is, or the engine's own end when that comes within a moment.
  rt::Task<Error> explain(rt::Op& op, Error failed);

  LoadSpec spec;
  rt::Op op;  // of the load; cancelled when nobody may load any more
  rt::Event ended;
  std::optional<Error> failure;  // set when it has ended
  bool ready = false;
  bool stopping = false;  // on our own wish
  LoadReport report;
  std::optional<engine::Launch> launch;  // before the child, which must go first
  std::unique_ptr<http::DirectClient> client;
  std::optional<process::Child> child;
};

}  // namespace berth::runner
