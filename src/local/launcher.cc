#include "local/launcher.h"

#include "control/json.h"
#include "formats/estimate.h"
#include "fs/file.h"
#include "local/partial.h"
#include "model/bundle.h"
#include "rt/async.h"

namespace berth::local {
namespace {

constexpr std::string_view kConfigurations = "configuration";
constexpr std::chrono::seconds kRemember{1};
constexpr std::size_t kMaxRemembered = 1000;
constexpr std::int64_t kMaxDraftTokens = 1024;
// What the engine may keep of earlier prompts (--cache-ram of the launch plan).
constexpr std::uint64_t kPromptCache = 256ULL << 20;

std::string configuration_key(const std::string& id, std::string_view mode) {
  return fmt::format("{} {}", id, mode.empty() ? "any" : mode);
}

std::string remember_key(const Launcher::Wanted& wanted) {
  return fmt::format("{} {} {}", wanted.model, engine::to_string(wanted.mode),
                     wanted.context_size.value_or(0));
}

engine::ModelFiles engine_files(const model::Bundle& bundle) {
  engine::ModelFiles files;
  for (const model::BundleFile& file : bundle.files) {
    const engine::ModelFile mapped{.host = file.host_path, .name = file.name};
    if (file.name == bundle.model) {
      files.model = mapped;
    } else if (file.name == bundle.mmproj) {
      files.projector = mapped;
    } else if (file.name == bundle.chat_template) {
      files.chat_template = mapped;
    } else if (file.role == model::Role::kLora) {
      files.adapters.push_back(mapped);
    } else if (file.role == model::Role::kWeights) {
      files.shards.push_back(mapped);
    }
  }
  return files;
}

Result<formats::MemoryProfile> profile_of(const engine::ModelFiles& files) {
  std::vector<formats::Gguf> shards;
  std::vector<engine::ModelFile> parts = files.shards;
  parts.insert(parts.begin(), files.model);
  for (const engine::ModelFile& part : parts) {
    TRY(const fs::File file, fs::open_user_file(part.host));
    TRY(const formats::FileAccess access, formats::FileAccess::open(file));
    TRY(formats::Gguf gguf, in_context(formats::read_gguf(access), part.name));
    shards.push_back(std::move(gguf));
  }
  return formats::memory_profile(shards);
}

std::uint64_t projector_bytes(const engine::ModelFiles& files) {
  std::uint64_t bytes = 0;
  std::vector<engine::ModelFile> extra = files.adapters;
  if (files.projector) extra.push_back(*files.projector);
  for (const engine::ModelFile& file : extra) {
    const auto opened = fs::open_user_file(file.host);
    const auto info = opened ? opened->info() : fail(Code::kNotFound, "gone");
    if (info) bytes += info->size;
  }
  return bytes;
}

// What the memory of one loaded model is judged by.
struct Need {
  engine::ModelShape shape;
  std::uint64_t context = 0;
  std::uint64_t bytes = 0;
};

struct NeedRequest {
  engine::ContextChoice context;
  engine::EngineOptions options;
  std::uint64_t parallel = 1;
};

std::uint64_t unsigned_or(const std::optional<std::int64_t>& value, std::uint64_t otherwise) {
  return value && *value > 0 ? static_cast<std::uint64_t>(*value) : otherwise;
}

Result<Need> need_of(const engine::ModelFiles& files, NeedRequest request) {
  TRY(const formats::MemoryProfile profile, profile_of(files));
  Need need;
  request.context.trained = profile.facts.context_length;
  need.context = engine::choose_context(request.context);
  formats::EstimateRequest estimate;
  estimate.context = need.context;
  estimate.batch = unsigned_or(request.options.ubatch, estimate.batch);
  estimate.slots = unsigned_or(request.options.parallel, request.parallel);
  if (request.options.cache_type_k) estimate.key_type = *request.options.cache_type_k;
  if (request.options.cache_type_v) estimate.value_type = *request.options.cache_type_v;
  TRY(const formats::Estimate memory, formats::estimate_memory(profile, estimate));
  need.bytes = memory.total() + projector_bytes(files) + kPromptCache;
  need.shape.layers = profile.facts.block_count.value_or(0);
  need.shape.weight_bytes = memory.weights;
  need.shape.kv_bytes_per_token = estimate.context > 0 ? memory.kv_cache / estimate.context : 0;
  need.shape.trained_context = profile.facts.context_length.value_or(0);
  return need;
}

// A draft model keeps a context of its own, as long as the model's.
Result<std::uint64_t> draft_bytes(const engine::ModelFiles& draft, const NeedRequest& request,
                                  std::uint64_t context) {
  TRY(const formats::MemoryProfile profile, profile_of(draft));
  formats::EstimateRequest estimate;
  estimate.context = context;
  estimate.batch = unsigned_or(request.options.ubatch, estimate.batch);
  estimate.slots = unsigned_or(request.options.parallel, request.parallel);
  TRY(const formats::Estimate memory, formats::estimate_memory(profile, estimate));
  return memory.total();
}

// The draft's weights beside the model's, in a folder of their own: it may be the same model.
void add_draft(const engine::ModelFiles& draft, engine::ModelFiles& files) {
  const auto below = [](const engine::ModelFile& file) {
    return engine::ModelFile{.host = file.host, .name = "draft/" + file.name};
  };
  files.draft = below(draft.model);
  for (const engine::ModelFile& shard : draft.shards) files.draft_shards.push_back(below(shard));
}

// The paths of a model's blobs, collected beforehand: make_bundle asks on the pool, the store
// answers on the loop.
using Paths = std::map<oci::Digest, std::string>;

rt::Task<Result<Paths>> blob_paths(Shared& shared, rt::Op& op, const model::Model& model) {
  Paths paths;
  for (const model::File& file : model.files) {
    CO_TRY(paths[file.descriptor.digest], co_await shared.store->path(op, file.descriptor.digest));
  }
  co_return paths;
}

Result<model::Bundle> bundle_of(const model::Model& model, const Paths& paths,
                                const std::string& unpacked) {
  const auto look_up = [&paths](const oci::Digest& digest) -> Result<std::string> {
    const auto at = paths.find(digest);
    if (at == paths.end()) return fail(Code::kNotFound, "no blob {}", digest.string());
    return at->second;
  };
  return model::make_bundle(model, look_up, unpacked);
}

// What holds an engine's models in the store.
using Leases = std::vector<store::Lease>;

Error about_draft(const Error& error, const control::Configuration& configuration) {
  if (error.code() != Code::kNotFound) return error;
  const std::string draft = printable(configuration.draft_model, 200);
  return {Code::kNotFound,
          fmt::format("the draft model {0} of {1} is not here; pull it with: berth pull {0}", draft,
                      printable(configuration.model, 200))};
}

// Numbers without a model to draft would be kept and never do anything.
Status check_drafting(const control::Configuration& configuration) {
  const bool numbers = configuration.draft_tokens || configuration.draft_min_acceptance;
  if (configuration.draft_model.empty()) {
    if (!numbers) return {};
    return fail(Code::kInvalid,
                "a number of draft tokens or an acceptance rate needs a draft model: give "
                "--speculative-draft-model as well");
  }
  if (configuration.draft_tokens &&
      (*configuration.draft_tokens < 1 || *configuration.draft_tokens > kMaxDraftTokens)) {
    return fail(Code::kInvalid, "{} draft tokens are out of range: 1 to {}",
                *configuration.draft_tokens, kMaxDraftTokens);
  }
  const double rate = configuration.draft_min_acceptance.value_or(0);
  if (rate >= 0 && rate <= 1) return {};
  return fail(Code::kInvalid, "an acceptance rate of {} is out of range: 0 to 1", rate);
}

}  // namespace

Result<engine::EngineOptions> options_of(const control::Configuration& configuration,
                                         engine::Mode mode) {
  TRY(engine::EngineOptions options, engine::parse_runtime_flags(configuration.runtime_flags));
  options.mode = mode;
  if (configuration.context_size && *configuration.context_size > 0)
    options.context_size = configuration.context_size;
  if (configuration.reasoning_budget) options.reasoning_budget = configuration.reasoning_budget;
  if (configuration.draft_tokens) options.draft_max = configuration.draft_tokens;
  if (configuration.draft_min_acceptance) options.draft_p_min = configuration.draft_min_acceptance;
  return options;
}

rt::Task<Result<std::optional<control::Configuration>>> Launcher::stored(rt::Op& op, std::string id,
                                                                         engine::Mode mode) {
  for (const std::string& key :
       {configuration_key(id, engine::to_string(mode)), configuration_key(id, "")}) {
    CO_TRY(const auto text, co_await shared_.store->setting(op, std::string(kConfigurations), key));
    if (!text) continue;
    CO_TRY(const json::Value value, json::parse(*text, "stored configuration"));
    CO_TRY(control::Configuration configuration,
           control::configuration_from_json(json::View(value, "configuration")));
    co_return std::move(configuration);
  }
  co_return std::nullopt;
}

rt::Task<Result<Launcher::Opened>> Launcher::open_model(rt::Op& op, store::Found found) {
  const oci::Digest id = found.record.id;
  CO_TRY(auto lease, co_await shared_.store->lease(op, store::Lease::Kind::kRun, {id}));
  CO_TRY_OK(co_await shared_.store->check_model(op, id));
  CO_TRY(model::Loaded loaded, co_await load_local(shared_, op, id));
  CO_TRY(loaded.model, co_await enough_to_run(shared_, op, std::move(loaded.model), found));
  CO_TRY(const Paths paths, co_await blob_paths(shared_, op, loaded.model));
  const std::string unpacked = shared_.paths.cache + "/unpacked";
  CO_TRY(const model::Bundle bundle, co_await rt::blocking(shared_.loop, [&] {
           return bundle_of(loaded.model, paths, unpacked);
         }));
  if (bundle.format != "gguf") {
    co_return fail(Code::kUnsupported,
                   "{} is a {} model; this version runs GGUF models only (llama.cpp)",
                   display_name(shared_, found), printable(bundle.format, 40));
  }
  co_return Opened{id, engine_files(bundle), loaded.model.context_size, std::move(lease)};
}

rt::Task<Result<std::optional<Launcher::Opened>>> Launcher::open_draft(
    rt::Op& op, control::Configuration configuration) {
  if (configuration.draft_model.empty()) co_return std::nullopt;
  const auto found = co_await find_model(shared_, op, configuration.draft_model);
  if (!found) co_return std::unexpected(about_draft(found.error(), configuration));
  CO_TRY(Opened opened, co_await open_model(op, *found));
  co_return std::move(opened);
}

rt::Task<Result<runner::LoadSpec>> Launcher::prepare(rt::Op& op, Wanted wanted) {
  const std::string key = remember_key(wanted);
  const auto now = std::chrono::steady_clock::now();
  if (const auto at = remembered_.find(key); at != remembered_.end() && at->second.until > now) {
    if (auto guard = at->second.guard.lock()) {
      runner::LoadSpec spec = at->second.spec;
      spec.guard = std::move(guard);
      co_return spec;
    }
  }
  CO_TRY(const store::Found found, co_await find_model(shared_, op, wanted.model));
  const oci::Digest id = found.record.id;
  CO_TRY(Opened opened, co_await open_model(op, found));
  CO_TRY(const auto configuration, co_await stored(op, id.string(), wanted.mode));
  NeedRequest request;
  if (configuration) {
    CO_TRY(request.options, options_of(*configuration, wanted.mode));
  }
  request.options.mode = wanted.mode;
  if (!request.options.threads && shared_.settings.engine.threads) {
    request.options.threads = static_cast<std::int64_t>(*shared_.settings.engine.threads);
  }
  if (!request.options.parallel)
    request.options.parallel = static_cast<std::int64_t>(shared_.settings.engine.parallel);
  // The slots share the whole context: a lone request may use all of it, as the user was told.
  if (!request.options.kv_unified) request.options.kv_unified = true;
  if (wanted.context_size) {
    request.context.asked = wanted.context_size;
  } else if (request.options.context_size) {
    request.context.asked = static_cast<std::uint64_t>(*request.options.context_size);
  }
  request.context.packaged = opened.context_size;
  request.context.configured = shared_.settings.engine.context_size;
  engine::ModelFiles& files = opened.files;
  CO_TRY(Need need, co_await rt::blocking(shared_.loop, [&] { return need_of(files, request); }));
  request.options.context_size = static_cast<std::int64_t>(need.context);
  std::optional<Opened> draft;
  if (configuration && wanted.mode == engine::Mode::kCompletion) {
    CO_TRY(draft, co_await open_draft(op, *configuration));
  }
  if (draft) {
    CO_TRY(const std::uint64_t bytes, co_await rt::blocking(shared_.loop, [&] {
             return draft_bytes(draft->files, request, need.context);
           }));
    need.bytes += bytes;
    add_draft(draft->files, files);
  }

  runner::LoadSpec spec;
  spec.key = fmt::format("{} {} {}", id.string(), engine::to_string(wanted.mode),
                         engine::fingerprint(request.options));
  if (draft) spec.key += " draft " + draft->id.string();
  spec.model_id = id.string();
  spec.display_name = display_name(shared_, found);
  spec.files = files;
  spec.shape = need.shape;
  spec.options = request.options;
  spec.memory = need.bytes;
  if (configuration) spec.keep_alive = configuration->keep_alive;
  const auto guard = std::make_shared<Leases>();
  guard->push_back(std::move(opened.lease));
  if (draft) guard->push_back(std::move(draft->lease));
  if (remembered_.size() >= kMaxRemembered) remembered_.clear();
  remembered_.insert_or_assign(key, Remembered{spec, guard, now + kRemember});
  spec.guard = guard;
  co_return spec;
}

rt::Task<Result<Launcher::Granted>> Launcher::acquire(rt::Op& op, Wanted wanted) {
  CO_TRY(const runner::LoadSpec spec, co_await prepare(op, std::move(wanted)));
  CO_TRY(runner::Ticket ticket, co_await runner_.acquire(op, spec));
  co_return Granted{std::move(ticket), spec.model_id, spec.display_name};
}

rt::Task<Status> Launcher::configure(rt::Op& op, control::Configuration configuration) {
  CO_TRY(const store::Found found, co_await find_model(shared_, op, configuration.model));
  const std::string id = found.record.id.string();
  const auto mode = engine::mode_from_string(configuration.mode);
  if (!mode && !configuration.mode.empty()) {
    co_return fail(Code::kInvalid, "there is no mode \"{}\": completion, embedding or reranking",
                   printable(configuration.mode, 60));
  }
  CO_TRY_OK(options_of(configuration, mode.value_or(engine::Mode::kCompletion)));
  CO_TRY_OK(check_drafting(configuration));
  // Now, and not with the first question, is the time to hear that it is not here or is no GGUF.
  CO_TRY_OK(co_await open_draft(op, configuration));
  for (const runner::Running& running : runner_.list()) {
    if (running.model_id == id && (running.in_use > 0 || running.waiting > 0)) {
      co_return fail(Code::kConflict, "{} is answering a request; configure it when it is idle",
                     running.display_name);
    }
  }
  const std::string text = json::serialize(control::to_json(configuration));
  CO_TRY_OK(co_await shared_.store->set_setting(op, std::string(kConfigurations),
                                                configuration_key(id, configuration.mode), text));
  remembered_.clear();
  // What runs was started with the old options.
  std::vector<std::string> stale{id};
  CO_TRY_OK(co_await runner_.unload(op, std::move(stale)));
  co_return Status();
}

rt::Task<Result<std::vector<control::ConfigurationEntry>>> Launcher::configurations(
    rt::Op& op, std::string model) {
  std::string only;
  if (!model.empty()) {
    CO_TRY(const store::Found found, co_await find_model(shared_, op, std::move(model)));
    only = found.record.id.string();
  }
  CO_TRY(const auto rows, co_await shared_.store->settings(op, std::string(kConfigurations)));
  std::vector<control::ConfigurationEntry> entries;
  for (const auto& [key, text] : rows) {
    const std::string id = key.substr(0, key.find(' '));
    if (!only.empty() && id != only) continue;
    CO_TRY(const json::Value value, json::parse(text, "stored configuration"));
    CO_TRY(control::Configuration configuration,
           control::configuration_from_json(json::View(value, "configuration")));
    entries.push_back({.backend = "llama.cpp",
                       .model = configuration.model,
                       .model_id = id,
                       .configuration = configuration});
  }
  co_return entries;
}

rt::Task<Status> Launcher::forget_configurations(rt::Op& op, std::vector<std::string> models) {
  std::vector<std::string> ids;
  for (std::string& model : models) {
    CO_TRY(const store::Found found, co_await find_model(shared_, op, std::move(model)));
    ids.push_back(found.record.id.string());
  }
  CO_TRY(const auto rows, co_await shared_.store->settings(op, std::string(kConfigurations)));
  for (const auto& [key, text] : rows) {
    const std::string id = key.substr(0, key.find(' '));
    if (!ids.empty() && std::ranges::find(ids, id) == ids.end()) continue;
    CO_TRY_OK(co_await shared_.store->erase_setting(op, std::string(kConfigurations), key));
  }
  remembered_.clear();
  co_return Status();
}

}  // namespace berth::local
