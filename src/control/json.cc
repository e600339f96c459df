#include "control/json.h"

#include <string_view>

#include "base/text.h"

namespace berth::control {
namespace {

// What has nothing to say is null, never an empty string.
json::Value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json::Value(text);
}

template <class T>
json::Value value_or_null(const std::optional<T>& value) {
  if (!value) return nullptr;
  return json::Value(*value);
}

json::Value time_or_null(const std::optional<Time>& time) {
  if (!time) return nullptr;
  return json::Value(format_rfc3339(*time));
}

template <class Strings>
json::Array strings(const Strings& items) {
  json::Array array;
  for (const auto& item : items) array.emplace_back(item);
  return array;
}

json::Object string_map(const std::map<std::string, std::string>& map) {
  json::Object object;
  for (const auto& [key, value] : map) object[key] = value;
  return object;
}

json::Object file_to_json(const ModelFile& file) {
  json::Object object{{"path", text_or_null(file.path)},
                      {"role", file.role},
                      {"media_type", file.media_type},
                      {"digest", file.digest},
                      {"size", file.size},
                      {"annotations", string_map(file.annotations)}};
  if (file.left_out) object["left_out"] = true;
  return object;
}

// DMR's BackendConfiguration: what it does not know stays out, as its own client does it.
void put_settings(json::Object& object, const Configuration& c) {
  if (c.context_size) object["context-size"] = *c.context_size;
  if (!c.runtime_flags.empty()) object["runtime-flags"] = strings(c.runtime_flags);
  if (!c.draft_model.empty() || c.draft_tokens || c.draft_min_acceptance) {
    json::Object draft;
    if (!c.draft_model.empty()) draft["draft_model"] = c.draft_model;
    if (c.draft_tokens) draft["num_tokens"] = *c.draft_tokens;
    if (c.draft_min_acceptance) draft["min_acceptance_rate"] = *c.draft_min_acceptance;
    object["speculative"] = std::move(draft);
  }
  if (c.keep_alive) object["keep_alive"] = keep_alive_text(*c.keep_alive);
  if (c.reasoning_budget) object["llamacpp"] = {{"reasoning-budget", *c.reasoning_budget}};
}

std::string_view kind_name(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::kMessage:
      return "message";
    case Event::Kind::kWarning:
      return "warning";
    case Event::Kind::kLayer:
      return "layer";
    case Event::Kind::kLayerDone:
      return "layer_done";
    case Event::Kind::kLayerExists:
      return "layer_exists";
    case Event::Kind::kLayerMounted:
      return "layer_mounted";
    case Event::Kind::kTotal:
      return "total";
  }
  return "message";
}

// "http://localhost:12434" -> "http://localhost:12434/v1/", which is what scripts around
// DMR expect here.
std::string api_base(const std::string& endpoint) {
  if (!endpoint.starts_with("http")) return endpoint;
  return endpoint + (endpoint.ends_with('/') ? "v1/" : "/v1/");
}

}  // namespace

std::string keep_alive_text(std::chrono::milliseconds duration) {
  if (duration.count() < 0) return "-1";
  if (duration.count() == 0) return "0s";
  const auto ms = duration.count() % 1000;
  const auto s = duration.count() / 1000;
  std::string text;
  if (s >= 3600) text += fmt::format("{}h", s / 3600);
  if (s >= 60) text += fmt::format("{}m", s / 60 % 60);
  if (ms == 0) return text + fmt::format("{}s", s % 60);
  if (s == 0) return text + fmt::format("{}ms", ms);
  return text + fmt::format("{}.{:03}s", s % 60, ms);
}

json::Object to_json(const Model& model) {
  json::Object object{{"id", model.id},
                      {"tags", strings(model.tags)},
                      {"created", model.created.time_since_epoch().count()},
                      {"config", model.config},
                      {"format", text_or_null(model.format)},
                      {"architecture", text_or_null(model.architecture)},
                      {"parameters", text_or_null(model.parameters)},
                      {"quantization", text_or_null(model.quantization)},
                      {"context_size", value_or_null(model.context_size)},
                      {"size", model.size}};
  if (model.partial) object["partial"] = true;
  return object;
}

json::Object to_json(const ModelDetail& detail) {
  json::Object object = to_json(detail.model);
  object["artifact"] = text_or_null(detail.artifact);
  object["media_type"] = text_or_null(detail.media_type);
  object["manifest_digest"] = text_or_null(detail.manifest_digest);
  object["index_digest"] = text_or_null(detail.index_digest);
  object["config_digest"] = text_or_null(detail.config_digest);
  object["annotations"] = string_map(detail.annotations);
  json::Array files;
  for (const ModelFile& file : detail.files) files.push_back(file_to_json(file));
  object["files"] = std::move(files);
  object["raw_manifest"] = text_or_null(detail.raw_manifest);
  return object;
}

json::Object to_json(const RunningModel& running) {
  json::Value keep_alive = nullptr;
  if (running.keep_alive) keep_alive = json::Value(keep_alive_text(*running.keep_alive));
  return {{"backend_name", running.backend},
          {"model_name", running.model},
          {"mode", running.mode},
          {"last_used", time_or_null(running.last_used)},
          {"in_use", running.in_use},
          {"loading", running.loading},
          {"keep_alive", std::move(keep_alive)},
          {"expires", time_or_null(running.expires)},
          {"device", text_or_null(running.device)},
          {"gpu_layers", value_or_null(running.gpu_layers)},
          {"pid", value_or_null(running.pid)},
          {"memory", value_or_null(running.memory)}};
}

json::Object to_json(const DiskUsage& usage) {
  return {{"models_disk_usage", usage.models},
          {"default_backend_disk_usage", usage.engines},
          {"unfinished", usage.unfinished},
          {"catalogue", usage.catalogue},
          {"reclaimable", usage.reclaimable}};
}

json::Object to_json(const PullResult& result) {
  return {{"reference", result.reference},
          {"digest", result.digest},
          {"id", result.id},
          {"size", result.size},
          {"transferred", result.transferred},
          {"cached", result.cached},
          {"left_out", result.left_out}};
}

json::Object to_json(const PushResult& result) {
  return {{"reference", result.reference},
          {"digest", result.digest},
          {"size", result.size},
          {"transferred", result.transferred}};
}

json::Object to_json(const PackageResult& result) {
  json::Array ways;
  for (const auto& [file, way] : result.ways) {
    ways.push_back(json::Object{{"file", file}, {"way", way}});
  }
  return {{"reference", result.reference},
          {"digest", result.digest},
          {"size", result.size},
          {"ways", std::move(ways)}};
}

json::Array removed_to_json(const RemoveResult& result) {
  json::Array removed;
  for (const Removed& one : result.removed) removed.push_back(json::Object{{one.kind, one.what}});
  return removed;
}

json::Object to_json(const RemoveResult& result) {
  return {{"removed", removed_to_json(result)}, {"freed", result.freed}};
}

json::Object to_json(const PruneResult& result) {
  return {{"dry_run", result.dry_run},
          {"blobs", strings(result.blobs)},
          {"ingests", strings(result.ingests)},
          {"freed", result.freed}};
}

json::Object to_json(const TransferResult& result) {
  return {{"source", result.source},   {"target", result.target},
          {"digest", result.digest},   {"transferred", result.transferred},
          {"mounted", result.mounted}, {"referrers", result.referrers}};
}

json::Object to_json(const CheckResult& result) {
  json::Array findings;
  for (const CheckFinding& one : result.findings) {
    findings.push_back(json::Object{{"kind", one.kind},
                                    {"what", one.what},
                                    {"message", one.message},
                                    {"models", strings(one.models)},
                                    {"harmless", one.harmless},
                                    {"repaired", one.repaired}});
  }
  return {{"findings", std::move(findings)},
          {"blobs", result.blobs},
          {"bytes", result.bytes},
          {"read", result.read},
          {"milliseconds", result.took.count()}};
}

json::Object to_json(const Configuration& configuration) {
  json::Object object{{"model", configuration.model}};
  if (!configuration.mode.empty()) object["mode"] = configuration.mode;
  put_settings(object, configuration);
  return object;
}

json::Object to_json(const ConfigurationEntry& entry) {
  json::Object settings;
  put_settings(settings, entry.configuration);
  const std::string& mode = entry.configuration.mode;
  // DMR's client refuses an unknown or empty mode.
  return {{"Backend", entry.backend},
          {"Model", entry.model},
          {"ModelID", entry.model_id},
          {"Mode", mode.empty() ? "completion" : mode},
          {"Config", std::move(settings)}};
}

json::Object to_json(const UnloadRequest& request) {
  return {{"all", request.all}, {"backend", request.backend}, {"models", strings(request.models)}};
}

json::Object to_json(const StatusReport& report) {
  json::Object backends;
  for (const BackendStatus& backend : report.backends)
    backends[backend.name] = backend_text(backend);
  json::Object sandbox;
  for (const auto& [part, state] : report.sandbox) sandbox[part] = state;
  json::Array endpoints;
  for (const std::string& endpoint : report.endpoints) endpoints.emplace_back(endpoint);
  return {{"running", report.running},
          {"backends", std::move(backends)},
          {"kind", "Berth"},
          {"endpoint", text_or_null(api_base(report.endpoint))},
          {"endpointHost", text_or_null(api_base(report.endpoint))},
          {"endpoints", std::move(endpoints)},
          {"sandbox", std::move(sandbox)},
          {"store", text_or_null(report.store)}};
}

std::string backend_text(const BackendStatus& backend) {
  if (backend.details.empty()) return backend.state;
  return backend.state + ": " + backend.details;
}

json::Object to_json(const Setting& setting) {
  return {{"key", setting.key}, {"value", setting.value}, {"source", setting.source}};
}

json::Object to_json(const TokenInfo& token) {
  return {{"id", token.id},
          {"name", token.name},
          {"scopes", strings(token.scopes)},
          {"created", time_or_null(token.created)},
          {"expires", time_or_null(token.expires)}};
}

json::Object to_json(const Event& event) {
  return {{"type", kind_name(event.kind)},      {"message", text_or_null(event.message)},
          {"layer", text_or_null(event.layer)}, {"name", text_or_null(event.name)},
          {"current", event.current},           {"size", event.size}};
}

json::Object openai_model(const Model& model, const std::string& id) {
  const json::Value* size = model.config.if_contains("size");
  return {{"id", id},
          {"object", "model"},
          {"created", model.created.time_since_epoch().count()},
          {"owned_by", "docker"},
          {"dmr",
           {{"context_window", value_or_null(model.context_size)},
            {"architecture", model.architecture},
            {"parameters", model.parameters},
            {"quantization", model.quantization},
            {"size", size ? *size : json::Value(format_size(model.size))}}}};
}

}  // namespace berth::control
