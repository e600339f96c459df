#include "daemon/engines.h"

namespace berth::daemon {
namespace {

engine::Mode mode_of(api::Mode mode) {
  switch (mode) {
    case api::Mode::kCompletion:
      return engine::Mode::kCompletion;
    case api::Mode::kEmbedding:
      return engine::Mode::kEmbedding;
    case api::Mode::kReranking:
      return engine::Mode::kReranking;
  }
  return engine::Mode::kCompletion;
}

std::string device_of(const engine::Placement& placement) {
  if (placement.gpu_layers == 0) return placement.device;
  return fmt::format("{} ({} of {} layers)", placement.device, placement.gpu_layers,
                     placement.layers);
}

class Held : public api::Engine {
 public:
  explicit Held(local::Launcher::Granted granted) : ticket_(std::move(granted.ticket)) {
    const runner::LoadReport& report = ticket_.report();
    info_ = {.backend = "llama.cpp",
             .model_id = std::move(granted.model_id),
             .model = std::move(granted.display_name),
             .device = device_of(report.placement),
             .was_loaded = report.was_loaded,
             .load_time = report.time};
  }

  http::Service& service() override { return ticket_.service(); }
  const api::EngineInfo& info() const override { return info_; }
  std::string death() const override {
    const auto failure = ticket_.engine_failure();
    return failure ? failure->message() : "";
  }

 private:
  runner::Ticket ticket_;
  api::EngineInfo info_;
};

}  // namespace

// The backend that was named decides nothing: the model's format chooses its engine, and there is
// one for each.
rt::Task<Result<std::unique_ptr<api::Engine>>> Engines::acquire(rt::Op& op, api::Wanted wanted) {
  local::Launcher::Wanted request{.model = std::move(wanted.model), .mode = mode_of(wanted.mode)};
  request.context_size = wanted.context_size;
  CO_TRY(local::Launcher::Granted granted, co_await launcher_.acquire(op, std::move(request)));
  co_return std::make_unique<Held>(std::move(granted));
}

std::vector<api::Scrape> Engines::running() {
  std::vector<api::Scrape> engines;
  for (const runner::Running& running : runner_.list()) {
    if (!running.service) continue;
    engines.push_back({running.service, running.backend, running.display_name,
                       std::string(engine::to_string(running.mode))});
  }
  return engines;
}

}  // namespace berth::daemon
