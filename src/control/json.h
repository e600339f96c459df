// JSON forms of the records: one place for the command line's --format json, the HTTP API and its
// client.
//
// Model, RunningModel, DiskUsage, Configuration and Removed are DMR's shapes (facts 2.1-2.3) with
// Berth's fields added (of them "partial" and "left_out" are there only when true); the others are
// Berth's own (snake_case, null for nothing).
#pragma once

#include "control/records.h"

namespace berth::control {

json::Object to_json(const Model& model);
json::Object to_json(const ModelDetail& detail);
json::Object to_json(const RunningModel& running);
json::Object to_json(const DiskUsage& usage);
json::Object to_json(const PullResult& result);
json::Object to_json(const PushResult& result);
json::Object to_json(const PackageResult& result);
json::Object to_json(const RemoveResult& result);
json::Object to_json(const PruneResult& result);
json::Object to_json(const TransferResult& result);
json::Object to_json(const CheckResult& result);
json::Object to_json(const Configuration& configuration);  // the body of POST _configure
json::Object to_json(
    const ConfigurationEntry& entry);  // one element of GET _configure (capitalised keys)
json::Object to_json(const StatusReport& report);  // DMR's `status --json` plus Berth's fields
json::Object to_json(const Setting& setting);
json::Object to_json(const TokenInfo& token);
json::Object to_json(const UnloadRequest& request);  // the body of POST unload
json::Object to_json(const Event& event);            // --progress json
json::Array removed_to_json(
    const RemoveResult& result);  // DMR's answer to DELETE: [{"Untagged": tag}, {"Deleted": id}]
json::Object openai_model(const Model& model, const std::string& id);  // an item of /v1/models

Result<Model> model_from_json(const json::View& view);
Result<ModelDetail> detail_from_json(const json::View& view);
Result<RunningModel> running_from_json(const json::View& view);
Result<DiskUsage> usage_from_json(const json::View& view);
Result<Configuration> configuration_from_json(const json::View& view);
Result<ConfigurationEntry> configuration_entry_from_json(const json::View& view);
Result<UnloadRequest> unload_from_json(const json::View& view);
Result<RemoveResult> removed_from_json(
    const json::View& view);  // DMR's array; what was freed is not in it

// "Running: llama.cpp b9879", "Not Installed": a backend's state as GET /engines/status words it,
// and back.
std::string backend_text(const BackendStatus& backend);
BackendStatus backend_from_text(std::string name, std::string_view text);
// Go's duration text ("5m0s", "250ms"); "-1" for ever.
std::string keep_alive_text(std::chrono::milliseconds duration);

}  // namespace berth::control
