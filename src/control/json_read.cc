// Reading what a server sent or a client posted: every field may be missing, wrong or hostile.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "control/json.h"

namespace berth::control {
namespace {

// A server sends its own summary at the top; Docker Model Runner has it in `config` only.
Result<std::string> summary(const json::View& view, std::string_view key) {
  if (view.find(key)) return view.string(key);
  if (const auto config = view.find("config")) return config->string_or(key, "");
  return std::string();
}

Result<std::optional<std::uint64_t>> optional_u64(const json::View& view, std::string_view key) {
  const auto found = view.find(key);
  if (!found) return std::nullopt;
  TRY(const std::uint64_t value, found->u64());
  return value;
}

Result<std::optional<std::int64_t>> optional_i64(const json::View& view, std::string_view key) {
  const auto found = view.find(key);
  if (!found) return std::nullopt;
  TRY(const std::int64_t value, found->i64());
  return value;
}

Result<std::optional<double>> optional_number(const json::View& view, std::string_view key) {
  const auto found = view.find(key);
  if (!found) return std::nullopt;
  TRY(const double value, found->number());
  return value;
}

// Go writes year 1 for "never".
Result<std::optional<Time>> optional_time(const json::View& view, std::string_view key) {
  TRY(const std::string text, view.string_or(key, ""));
  if (text.empty() || text.starts_with("0001-")) return std::nullopt;
  const auto time = parse_rfc3339(text);
  if (!time) return fail(Code::kInvalid, "{}.{}: expected a time (RFC 3339)", view.path(), key);
  return *time;
}

Result<std::optional<std::chrono::milliseconds>> optional_duration(const json::View& view,
                                                                   std::string_view key) {
  TRY(const std::string text, view.string_or(key, ""));
  if (text.empty()) return std::nullopt;
  const auto duration = parse_duration(text);
  if (!duration) {
    return fail(Code::kInvalid, "{}.{}: expected a duration such as \"5m\", \"0\" or \"-1\"",
                view.path(), key);
  }
  return duration->count() < 0 ? std::chrono::milliseconds(-1) : *duration;
}

// The packaged size, else what the weights were trained for: <architecture>.context_length,
// whatever the architecture.
Result<std::optional<std::uint64_t>> context_of(const json::View& view,
                                                const std::string& architecture) {
  if (view.find("context_size")) return optional_u64(view, "context_size");
  const auto config = view.find("config");
  if (!config) return std::nullopt;
  if (config->find("context_size")) return optional_u64(*config, "context_size");
  const auto gguf = config->find("gguf");
  if (!gguf) return std::nullopt;
  TRY(const std::string text, gguf->string_or(architecture + ".context_length", ""));
  return parse_u64(text);
}

Result<std::uint64_t> size_of(const json::View& view) {
  if (view.find("size")) return view.u64("size");
  const auto config = view.find("config");
  if (!config) return 0;
  TRY(const std::string text, config->string_or("size", ""));
  return parse_size(text).value_or(0);
}

Result<std::map<std::string, std::string>> annotations_of(const json::View& view) {
  std::map<std::string, std::string> map;
  const auto found = view.find("annotations");
  if (!found) return map;
  TRY(const auto members, found->object());
  for (const auto& [key, member] : members) {
    TRY(map[key], member.string());
  }
  return map;
}

Result<ModelFile> file_from_json(const json::View& view) {
  ModelFile file;
  TRY(file.path, view.string_or("path", ""));
  TRY(file.role, view.string_or("role", ""));
  TRY(file.media_type, view.string_or("media_type", ""));
  TRY(file.digest, view.string_or("digest", ""));
  TRY(file.size, view.u64_or("size", 0));
  TRY(file.annotations, annotations_of(view));
  TRY(file.left_out, view.boolean_or("left_out", false));
  return file;
}

// Splits as a shell would, without expanding anything: DMR's "raw-runtime-flags".
Result<std::vector<std::string>> split_words(std::string_view text, const json::View& at) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word.push_back(c);
    } else if (c == '\'' || c == '"') {
      quote = c;
      open = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (open) words.push_back(std::exchange(word, {}));
      open = false;
    } else {
      if (c == '\\' && i + 1 < text.size()) ++i;
      word.push_back(text[i]);
      open = true;
    }
  }
  if (quote != 0)
    return fail(Code::kInvalid, "{}.raw-runtime-flags: a quote is not closed", at.path());
  if (open) words.push_back(std::move(word));
  return words;
}

// The settings that both the request and an entry of the listing hold.
Status read_settings(const json::View& view, Configuration& configuration) {
  TRY(configuration.context_size, optional_i64(view, "context-size"));
  TRY(configuration.runtime_flags, view.strings_or_empty("runtime-flags"));
  TRY(configuration.keep_alive, optional_duration(view, "keep_alive"));
  if (const auto draft = view.find("speculative")) {
    TRY(configuration.draft_model, draft->string_or("draft_model", ""));
    TRY(configuration.draft_tokens, optional_i64(*draft, "num_tokens"));
    TRY(configuration.draft_min_acceptance, optional_number(*draft, "min_acceptance_rate"));
  }
  if (const auto llama = view.find("llamacpp")) {
    TRY(configuration.reasoning_budget, optional_i64(*llama, "reasoning-budget"));
  }
  return {};
}

}  // namespace

Result<Model> model_from_json(const json::View& view) {
  Model model;
  TRY(model.id, view.string("id"));
  TRY(model.tags, view.strings_or_empty("tags"));
  TRY(const std::int64_t created, view.i64_or("created", 0));
  // Years 1970 to 9999: what calendars and subtractions can bear.
  model.created = Time(std::chrono::seconds(std::clamp<std::int64_t>(created, 0, 253402300799)));
  TRY(model.format, summary(view, "format"));
  TRY(model.architecture, summary(view, "architecture"));
  TRY(model.parameters, summary(view, "parameters"));
  TRY(model.quantization, summary(view, "quantization"));
  TRY(model.context_size, context_of(view, model.architecture));
  TRY(model.size, size_of(view));
  TRY(model.partial, view.boolean_or("partial", false));
  if (const auto config = view.find("config")) {
    TRY_OK(config->object());
    model.config = config->value().as_object();
  }
  return model;
}

Result<ModelDetail> detail_from_json(const json::View& view) {
  ModelDetail detail;
  TRY(detail.model, model_from_json(view));
  TRY(detail.artifact, view.string_or("artifact", ""));
  TRY(detail.media_type, view.string_or("media_type", ""));
  TRY(detail.manifest_digest, view.string_or("manifest_digest", detail.model.id));
  TRY(detail.index_digest, view.string_or("index_digest", ""));
  TRY(detail.config_digest, view.string_or("config_digest", ""));
  TRY(detail.annotations, annotations_of(view));
  TRY(detail.raw_manifest, view.string_or("raw_manifest", ""));
  TRY(const auto files, view.array_or_empty("files"));
  for (const json::View& file : files) {
    TRY(ModelFile one, file_from_json(file));
    detail.files.push_back(std::move(one));
  }
  return detail;
}

Result<RunningModel> running_from_json(const json::View& view) {
  RunningModel running;
  TRY(running.backend, view.string_or("backend_name", ""));
  TRY(running.model, view.string("model_name"));
  TRY(running.mode, view.string_or("mode", ""));
  TRY(running.last_used, optional_time(view, "last_used"));
  TRY(running.in_use, view.boolean_or("in_use", false));
  TRY(running.loading, view.boolean_or("loading", false));
  TRY(running.keep_alive, optional_duration(view, "keep_alive"));
  TRY(running.expires, optional_time(view, "expires"));
  TRY(running.device, view.string_or("device", ""));
  TRY(const auto layers, optional_i64(view, "gpu_layers"));
  if (layers) running.gpu_layers = static_cast<int>(*layers);
  TRY(const auto pid, optional_i64(view, "pid"));
  if (pid) running.pid = static_cast<int>(*pid);
  TRY(running.memory, optional_u64(view, "memory"));
  return running;
}

Result<DiskUsage> usage_from_json(const json::View& view) {
  DiskUsage usage;
  TRY(usage.models, view.u64("models_disk_usage"));
  TRY(usage.engines, view.u64_or("default_backend_disk_usage", 0));
  TRY(usage.unfinished, view.u64_or("unfinished", 0));
  TRY(usage.catalogue, view.u64_or("catalogue", 0));
  TRY(usage.reclaimable, view.u64_or("reclaimable", 0));
  return usage;
}

Result<Configuration> configuration_from_json(const json::View& view) {
  Configuration configuration;
  TRY(configuration.model, view.string("model"));
  TRY(configuration.mode, view.string_or("mode", ""));
  TRY_OK(read_settings(view, configuration));
  TRY(const std::string raw, view.string_or("raw-runtime-flags", ""));
  TRY(auto words, split_words(raw, view));
  for (std::string& word : words) configuration.runtime_flags.push_back(std::move(word));
  if (const auto vllm = view.find("vllm");
      vllm && vllm->value().is_object() && !vllm->value().as_object().empty()) {
    return fail(Code::kUnsupported, "{}.vllm: the vLLM backend is not in this version",
                view.path());
  }
  return configuration;
}

Result<ConfigurationEntry> configuration_entry_from_json(const json::View& view) {
  ConfigurationEntry entry;
  TRY(entry.backend, view.string_or("Backend", ""));
  TRY(entry.model, view.string_or("Model", ""));
  TRY(entry.model_id, view.string_or("ModelID", ""));
  entry.configuration.model = entry.model;
  TRY(entry.configuration.mode, view.string_or("Mode", ""));
  if (const auto settings = view.find("Config"))
    TRY_OK(read_settings(*settings, entry.configuration));
  return entry;
}

Result<UnloadRequest> unload_from_json(const json::View& view) {
  UnloadRequest request;
  TRY(request.all, view.boolean_or("all", false));
  TRY(request.backend, view.string_or("backend", ""));
  TRY(request.models, view.strings_or_empty("models"));
  return request;
}

Result<RemoveResult> removed_from_json(const json::View& view) {
  RemoveResult result;
  TRY(const auto items, view.array());
  for (const json::View& item : items) {
    TRY(const auto members, item.object());
    for (const auto& [kind, what] : members) {
      TRY(std::string name, what.string());
      result.removed.push_back({kind, std::move(name)});
    }
  }
  return result;
}

BackendStatus backend_from_text(std::string name, std::string_view text) {
  for (const std::string_view state : {"Running", "Error", "Not Installed", "Installing"}) {
    if (text == state) return {std::move(name), std::string(state), ""};
    if (text.starts_with(state) && text.substr(state.size()).starts_with(": ")) {
      return {std::move(name), std::string(state), std::string(text.substr(state.size() + 2))};
    }
  }
  return {std::move(name), text.empty() ? "Not Installed" : "Error", std::string(text)};
}

}  // namespace berth::control
