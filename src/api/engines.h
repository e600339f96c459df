// What the inference routes need of the engines: a ready one for a model, held while a request uses
// it. `local` implements it over the runner; tests have a fake.
//
// Loop thread. acquire() loads the model when it must and waits for that; it never pulls. Failures
// and what the routes make of them: kNotFound 404, kInvalid 400, kUnsupported 501 (this model has
// no such mode), kConflict 409, kRateLimited 429 with Retry-After (the queue is full), kExhausted
// 507 (cannot fit; the sentence has the numbers), kUnavailable 502 (the engine does not start, its
// log's last lines in the sentence), kTimeout 504.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/message.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::api {

enum class Mode { kCompletion, kEmbedding, kReranking };

struct EngineInfo {
  std::string backend;   // "llama.cpp"
  std::string model_id;  // "sha256:…"
  std::string model;     // display name, for metrics and recordings
  std::string device;    // "CPU", "Vulkan0 (24 of 32 layers)"
  bool was_loaded = false;
  std::chrono::milliseconds load_time{};  // until it was ready; 0 when it ran already
};

// A loaded engine that stays loaded while this lives; dropped when the answer's last byte is
// through.
struct Engine {
  virtual ~Engine() = default;
  // The engine's own HTTP server (OpenAI's paths: "/v1/chat/completions"). Lives as long as this
  // object.
  virtual http::Service& service() = 0;
  virtual const EngineInfo& info() const = 0;
  // Why it died, with the last lines of its output; "" while it runs.
  virtual std::string death() const = 0;
};

// One engine that runs now, for /metrics.
struct Scrape {
  std::shared_ptr<http::Service> service;
  std::string backend;
  std::string model;
  std::string mode;  // "completion", "embedding", "reranking"
};

// Which engine a request wants.
struct Wanted {
  std::string model;  // as the caller wrote it
  Mode mode = Mode::kCompletion;
  std::string backend = {};                        // "" or what the path named ("llama.cpp")
  std::optional<std::uint64_t> context_size = {};  // for this caller only
};

struct Engines {
  virtual ~Engines() = default;
  virtual rt::Task<Result<std::unique_ptr<Engine>>> acquire(rt::Op& op, Wanted wanted) = 0;
  virtual std::vector<Scrape> running() = 0;
};

}  // namespace berth::api
