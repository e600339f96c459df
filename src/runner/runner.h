// Runs models: the shell around schedule that starts, watches and stops real engines.
//
// Loop thread. Owns every engine's process; a Ticket is the right to use one. The decisions are
// schedule's; runner performs them. shutdown() must have returned before a Runner goes; it leaves
// no child. Failures of acquire: what engine::Engine's functions give, kExhausted (can never fit,
// with the numbers), kRateLimited (too many wait), kUnavailable (crashed repeatedly: back-off, with
// the last lines and retry_after), kCancelled, kTimeout.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "http/message.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"
#include "runner/logs.h"
#include "runner/memory.h"
#include "schedule/schedule.h"

namespace berth::runner {

struct Settings {
  engine::GpuChoice gpu = engine::GpuChoice::kAuto;
  engine::Isolation isolation = engine::Isolation::kSandbox;
  std::chrono::milliseconds keep_alive{5 * 60'000};  // negative: for ever; 0: unload at once
  std::size_t max_loaded = 0;
  std::size_t max_waiting = 256;
  std::optional<std::uint64_t> memory_limit;  // for all engines; else by the machine's free memory
  std::optional<std::uint64_t> memory_reserve;  // left to everything else
  std::chrono::milliseconds load_time{10 * 60'000};
};

struct LoadSpec {
  // Equal keys share one engine: manifest digest, mode and engine::fingerprint(options).
  std::string key;
  std::string model_id;      // what unload() and list() go by
  std::string display_name;  // for ps, logs and sentences
  engine::ModelFiles files;
  engine::ModelShape shape;
  engine::EngineOptions options;
  std::uint64_t memory = 0;  // estimate of what the engine will need, bytes
  std::optional<std::chrono::milliseconds> keep_alive;
  std::shared_ptr<void> guard;  // held as long as the engine lives (the store's lease)
};

// How an engine came to serve this ticket.
struct LoadReport {
  bool was_loaded = false;           // it ran already
  std::chrono::milliseconds time{};  // until it was ready, 0 when it ran already
  engine::Placement placement;
  engine::SandboxReport sandbox;
  std::uint64_t context_size = 0;
  std::string engine_version;
};

class Ticket {
 public:
  Ticket(Ticket&&) noexcept;
  Ticket& operator=(Ticket&&) noexcept;
  ~Ticket();

  // The engine itself (llama-server's HTTP API). kUnavailable, with its last lines, once it is
  // gone.
  http::Service& service();
  const LoadReport& report() const;
  // The engine has ended under this ticket: why. nullopt while it lives.
  std::optional<Error> engine_failure() const;

 private:
  friend class Runner;
  struct Hold;
  explicit Ticket(std::unique_ptr<Hold> hold);
  std::unique_ptr<Hold> hold_;
};

struct Running {
  std::string backend;  // "llama.cpp"
  std::string model_id;
  std::string display_name;
  engine::Mode mode = engine::Mode::kCompletion;
  bool loading = false;
  bool stopping = false;
  std::size_t in_use = 0;
  std::size_t waiting = 0;
  std::chrono::system_clock::time_point last_used;
  std::chrono::milliseconds keep_alive{};  // negative: for ever
  std::optional<std::chrono::system_clock::time_point> expires;
  engine::Placement placement;
  std::uint64_t context_size = 0;
  int pid = 0;
  std::uint64_t resident = 0;              // bytes
  std::shared_ptr<http::Service> service;  // its API, once it is ready; keeps nothing loaded
};

class Runner {
 public:
  // `engine` outlives the Runner.
  Runner(rt::Loop& loop, engine::Engine& engine, Settings settings);
  ~Runner();

  rt::Task<Result<Ticket>> acquire(rt::Op& op, LoadSpec spec);
  std::vector<Running> list() const;
  // Unloads idle engines of these models (empty = of all); returns when they are gone. Busy ones
  // are left alone.
  rt::Task<Result<std::size_t>> unload(rt::Op& op, std::vector<std::string> model_ids);
  // Any engine of that model is loading, serving or loaded.
  bool is_running(const std::string& model_id) const;
  void configure(Settings settings);

  // Refuses new work, lets what is in flight end until `op` ends, then stops every engine.
  rt::Task<Status> shutdown(rt::Op& op);

  LogBuffer& logs();

 private:
  friend class Ticket;
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace berth::runner
