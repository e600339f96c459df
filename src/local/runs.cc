#include "local/runs.h"

#include <algorithm>

#include "local/chat.h"

namespace berth::local {
namespace {

control::Time seconds_of(std::chrono::system_clock::time_point time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

control::RunningModel show(const runner::Running& running, std::string name) {
  control::RunningModel shown;
  shown.backend = running.backend;
  shown.model = std::move(name);
  shown.mode = engine::to_string(running.mode);
  shown.last_used = seconds_of(running.last_used);
  shown.in_use = running.in_use > 0;
  shown.loading = running.loading;
  shown.keep_alive = running.keep_alive;
  if (running.expires) shown.expires = seconds_of(*running.expires);
  shown.device = running.placement.device;
  shown.gpu_layers = static_cast<int>(running.placement.gpu_layers);
  if (running.pid > 0) shown.pid = running.pid;
  if (running.resident > 0) shown.memory = running.resident;
  return shown;
}

engine::GpuChoice gpu_choice(config::Gpu gpu) {
  switch (gpu) {
    case config::Gpu::kAuto:
      return engine::GpuChoice::kAuto;
    case config::Gpu::kNone:
      return engine::GpuChoice::kNone;
    case config::Gpu::kVulkan:
      return engine::GpuChoice::kVulkan;
    case config::Gpu::kCuda:
      return engine::GpuChoice::kCuda;
    case config::Gpu::kRocm:
      return engine::GpuChoice::kRocm;
  }
  return engine::GpuChoice::kAuto;
}

}  // namespace

runner::Settings runner_settings(const config::Settings& settings) {
  runner::Settings wanted;
  wanted.gpu = gpu_choice(settings.engine.gpu);
  wanted.isolation =
      settings.engine.no_sandbox ? engine::Isolation::kNone : engine::Isolation::kSandbox;
  wanted.keep_alive = settings.engine.keep_alive;
  wanted.max_loaded = settings.engine.max_models;
  wanted.max_waiting = settings.engine.queue;
  if (settings.engine.memory > 0) wanted.memory_limit = settings.engine.memory;
  wanted.load_time = settings.engine.load_timeout;
  return wanted;
}

// What a running model is called now: the name that it was asked for by may have gone to another or
// be removed since.
rt::Task<std::string> Runs::name_of(rt::Op& op, runner::Running running) {
  const auto found = co_await find_model(shared_, op, running.model_id);
  if (!found) co_return running.display_name;
  const auto& tags = found->record.tags;
  const auto familiar = [&](const oci::Reference& tag) { return tag.familiar(shared_.defaults); };
  if (tags.empty()) co_return found->record.id.short_hex();
  const bool still = std::ranges::find(tags, running.display_name, familiar) != tags.end();
  co_return still ? running.display_name : familiar(tags.front());
}

rt::Task<Result<std::vector<control::RunningModel>>> Runs::ps(rt::Op& op) {
  std::vector<control::RunningModel> models;
  for (const runner::Running& running : runner_.list())
    models.push_back(show(running, co_await name_of(op, running)));
  co_return models;
}

// The models that a name means here: one in the store, or what runs under that name since before it
// was removed.
rt::Task<Result<std::vector<std::string>>> Runs::ids_of(rt::Op& op, std::string model) {
  const auto found = co_await find_model(shared_, op, model);
  if (found) co_return std::vector{found->record.id.string()};
  const auto reference = oci::parse_reference(model, shared_.defaults);
  const std::string name = reference ? reference->familiar(shared_.defaults) : model;
  std::vector<std::string> ids;
  for (const runner::Running& running : runner_.list()) {
    if (running.display_name == name || running.model_id == model) ids.push_back(running.model_id);
  }
  if (ids.empty()) co_return std::unexpected(found.error());
  co_return ids;
}

rt::Task<Result<std::uint64_t>> Runs::unload(rt::Op& op, control::UnloadRequest request) {
  if (!request.backend.empty() && request.backend != "llama.cpp") co_return 0;
  std::vector<std::string> ids;
  for (const std::string& model : request.models) {
    CO_TRY(const auto meant, co_await ids_of(op, model));
    ids.insert(ids.end(), meant.begin(), meant.end());
  }
  if (ids.empty() && !request.all) co_return 0;
  CO_TRY(const std::size_t unloaded,
         co_await runner_.unload(op, request.all ? std::vector<std::string>() : ids));
  co_return unloaded;
}

rt::Task<Status> Runs::configure(rt::Op& op, control::Configuration configuration) {
  co_return co_await launcher_.configure(op, std::move(configuration));
}

rt::Task<Result<std::vector<control::ConfigurationEntry>>> Runs::configurations(rt::Op& op,
                                                                                std::string model) {
  co_return co_await launcher_.configurations(op, std::move(model));
}

rt::Task<Result<control::ChatStats>> Runs::chat(rt::Op& op, control::ChatRequest request,
                                                control::ChatSink& sink) {
  if (request.no_sandbox) {
    runner::Settings settings = runner_settings(shared_.settings);
    settings.isolation = engine::Isolation::kNone;
    runner_.configure(settings);
  }
  Launcher::Wanted wanted{.model = request.model, .context_size = request.options.context_size};
  CO_TRY(Launcher::Granted granted, co_await launcher_.acquire(op, std::move(wanted)));
  const runner::LoadReport& report = granted.ticket.report();
  if (!report.placement.fallback.empty()) sink.on_status(report.placement.fallback);
  if (request.preload_only)
    co_return control::ChatStats{.load = report.time, .device = report.placement.device};
  const auto load = report.time;
  const std::string device = report.placement.gpu_layers > 0
                                 ? fmt::format("{} ({} of {} layers)", report.placement.device,
                                               report.placement.gpu_layers, report.placement.layers)
                                 : report.placement.device;
  auto stats = co_await stream_chat(op, granted.ticket.service(), std::move(request), sink);
  if (!stats) {
    // A dead engine explains more than the broken stream does.
    const auto died = granted.ticket.engine_failure();
    if (died && stats.error().code() != Code::kCancelled) co_return std::unexpected(*died);
    co_return std::unexpected(std::move(stats.error()));
  }
  stats->load = load;
  stats->device = device;
  co_return std::move(*stats);
}

}  // namespace berth::local
